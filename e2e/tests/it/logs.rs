//! What may happen to a log and to those who read it: deleted, cut off, poisoned, closed under a stale writer, read by a frozen
//! historian, slow, or of another platform. Each trap by name.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::room::{ROOM, SOON, fill, next_message, place, subscribed};
use anyhow::ensure;
use e2e::checker::{Acknowledged, Seen, View, check};
use e2e::load;
use e2e::person::Person;
use e2e::proxy::{Direction, Flow, Proxy, Seen as Connection};
use e2e::rawlog::RawLog;
use e2e::rig::{LogRow, Rig, Wiring, stored};
use e2e::servers::Servers;
use e2e::signal::Signal;
use e2e::wait;
use serde_json::{Value, json};
use uuid::Uuid;

/// The operator sees a deleted queue by the event exchange or, at the latest, at its next snapshot.
const REPAIR: Duration = Duration::from_mins(1);
/// An attach to a silent broker looks twice, which takes half a minute.
const SLOW: Duration = Duration::from_mins(5);

/// Sends until it is taken; the room may be away for a while.
async fn send_at_last(rig: &Rig, gateway: usize, person: &Person, id: &str, text: &str) -> Value {
    wait::until(REPAIR, "a message that is taken", async || {
        let reply = rig.socket(gateway, person).await?.say(ROOM, id, text).await?;
        ensure!(reply.get("ok").is_some() || reply["err"]["temporary"] == true, "{reply}");
        Ok(reply.get("ok").cloned())
    })
    .await
    .unwrap()
}

/// History and both tables have the same, and everything that was acknowledged.
async fn assert_agree(rig: &Rig, person: &Person, sent: &[Acknowledged]) -> View {
    let pool = rig.database.pool().await.unwrap();
    let views = [
        load::history(&rig.http, rig.gateway(0), person, ROOM).await.unwrap(),
        load::messages(&pool, ROOM).await.unwrap(),
        load::events(&pool, ROOM).await.unwrap(),
    ];
    check(sent, &views).assert_none();
    let [history, ..] = views;
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn a_historian_frozen_in_mid_transaction_and_thawed_beside_a_second_spoils_neither_rows_nor_feed() {
    let mut rig = Rig::chat_split(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let raw = RawLog::connect(&rig.vhost.admin_url).await.unwrap();
    let mut feed = raw.feed("event.team-a.general.message").await.unwrap();
    let mut sent = fill(&rig, &anna, 200, "before").await;
    let pool = rig.database.pool().await.unwrap();
    let log = LogRow::newest(&pool, ROOM).await.unwrap();

    // Its transaction waits for our lock, it freezes, the lock goes: the transaction is open and nobody is there to end it.
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("select 1 from logs where epoch = $1 for update").bind(&log.epoch).execute(&mut *lock).await.unwrap();
    sent.extend(fill(&rig, &anna, 200, "while locked").await);
    let waits =
        "select exists(select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
    wait::until(SOON, "a historian that waits for the lock", async || {
        let waits: bool = sqlx::query_scalar(waits).fetch_one(&pool).await?;
        Ok(waits.then_some(()))
    })
    .await
    .unwrap();
    rig.gateways[1].program.signal(Signal::Stop).unwrap();
    lock.rollback().await.unwrap();

    let second = Wiring { roles: "historian", name: "historian-2".to_owned(), ..rig.wiring() };
    rig.start_gateway(&second).await.unwrap();
    sent.extend(fill(&rig, &anna, 200, "with the second").await);
    let last = sent.iter().map(|one| one.place).max().unwrap();
    stored(&pool, ROOM, last, Duration::from_secs(90)).await.unwrap();
    rig.gateways[1].program.signal(Signal::Continue).unwrap();
    sent.extend(fill(&rig, &anna, 200, "with both").await);
    let last = sent.iter().map(|one| one.place).max().unwrap();
    stored(&pool, ROOM, last, SOON).await.unwrap();
    let history = assert_agree(&rig, &anna, &sent).await;

    // First deliveries are in log order; a repeat may follow newer ones.
    let (mut fed, mut known) = (Vec::new(), BTreeSet::new());
    while fed.len() < history.messages.len() {
        let event = feed.next(SOON).await.unwrap();
        let event = event.unwrap_or_else(|| panic!("the feed has {} of {} events", fed.len(), history.messages.len()));
        let seen = Seen::of(&event).unwrap();
        if known.insert(seen.place) {
            fed.push(seen);
        }
    }
    assert!(fed == history.messages, "the feed has another order than history");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stale_gateway_publishes_into_a_closed_log_is_void_and_the_retry_counts() {
    let mut rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let proxy = Proxy::amqp(&rig.vhost.services_url).await.unwrap();
    let stale = Wiring { roles: "gateway", amqp_url: proxy.url(&rig.vhost.services_url), ..rig.wiring() };
    let stale = rig.start_gateway(&stale).await.unwrap();
    let mut socket = subscribed(&rig, stale, &anna).await;
    let mut watcher = subscribed(&rig, 0, &anna).await;
    let (before, _) = socket.said(ROOM, "before").await.unwrap();
    assert_eq!(next_message(&mut watcher).await.unwrap().id, before);

    // Its publishes leave the process and hang on the way.
    assert!(proxy.set_where(Direction::ToServer, Flow::Hold, Connection::writes_logs) > 0);
    let id = Uuid::now_v7().to_string();
    let reply = socket.say(ROOM, &id, "stale").await.unwrap();
    assert_eq!(reply["err"]["temporary"], true, "{reply}");
    let pool = rig.database.pool().await.unwrap();
    let old = LogRow::newest(&pool, ROOM).await.unwrap();
    rig.replace_log(ROOM, &old.epoch).unwrap();
    let new = LogRow::next(&pool, ROOM, &old.epoch, REPAIR).await.unwrap();
    proxy.release();
    let raw = RawLog::connect(&rig.vhost.admin_url).await.unwrap();
    wait::until(SOON, "the stale copy in the old log", async || {
        let messages = raw.read(&old.stream).await?;
        let last = messages.last().map(|message| String::from_utf8_lossy(&message.body).into_owned());
        Ok(last.is_some_and(|body| body.contains(&id)).then_some(()))
    })
    .await
    .unwrap();

    let ok = send_at_last(&rig, stale, &anna, &id, "stale").await;
    assert_eq!((&ok["epoch"], &ok["duplicate"]), (&json!(new.epoch), &json!(false)), "{ok}");
    stored(&pool, ROOM, place(&ok), SOON).await.unwrap();
    let history = assert_agree(&rig, &anna, &[]).await;
    let ids: Vec<&str> = history.messages.iter().map(|seen| seen.id.as_str()).collect();
    assert_eq!(ids, [before.as_str(), id.as_str()]);
    // The watcher was told of the new log, and saw neither the void copy nor anything before `reset`.
    let push = watcher.push(SOON).await.unwrap();
    assert_eq!(push["reset"]["epoch"], json!(new.epoch), "{push}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_deleted_by_hand_gives_a_new_epoch_a_reset_and_a_whole_history() {
    let mut rig = Rig::chat_split(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut watchers = [subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await];
    let mut sent = fill(&rig, &anna, 100, "stored").await;
    let pool = rig.database.pool().await.unwrap();
    let last = sent.iter().map(|one| one.place).max().unwrap();
    stored(&pool, ROOM, last, SOON).await.unwrap();
    // Without a historian the next ones are only in the log and with the gateways.
    rig.gateways[2].program.kill().unwrap();
    sent.extend(fill(&rig, &anna, 100, "not stored").await);
    let old = LogRow::newest(&pool, ROOM).await.unwrap();
    rig.vhost.delete(&rig.vhost.path("queues", &old.stream)).await.unwrap();
    let historian = Wiring { roles: "historian", name: "historian-2".to_owned(), ..rig.wiring() };
    rig.start_gateway(&historian).await.unwrap();

    let new = LogRow::next(&pool, ROOM, &old.epoch, REPAIR).await.unwrap();
    for watcher in &mut watchers {
        let mut seen = 0;
        let reset = loop {
            let push = watcher.push(REPAIR).await.unwrap();
            if push.get("reset").is_some() {
                break push["reset"].clone();
            }
            seen += usize::from(push["ev"]["type"] == "message");
        };
        assert_eq!((seen, &reset["epoch"]), (200, &json!(new.epoch)), "{reset}");
    }
    let id = Uuid::now_v7().to_string();
    let ok = send_at_last(&rig, 1, &anna, &id, "after").await;
    assert_eq!(ok["epoch"], json!(new.epoch));
    stored(&pool, ROOM, place(&ok), SOON).await.unwrap();
    let history = assert_agree(&rig, &anna, &sent).await;
    assert_eq!(history.messages.len(), 201);
    for watcher in &mut watchers {
        assert_eq!(next_message(watcher).await.unwrap().id, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_off_below_the_stored_offset_is_a_gap_and_the_rest_is_exact() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    rig.write_platform(&[json!({"name": "small", "replicas": 1, "segmentBytes": "1Mi"})]).unwrap();
    rig.write_room(ROOM, &json!({"className": "small"})).unwrap();
    rig.start_gateway(&Wiring { roles: "gateway", ..rig.wiring() }).await.unwrap();
    rig.start_gateway(&Wiring { roles: "historian", name: "historian".to_owned(), ..rig.wiring() }).await.unwrap();
    rig.start_operator().await.unwrap();
    rig.rooms_ready(1, REPAIR).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut sent = fill(&rig, &anna, 100, "stored").await;
    let pool = rig.database.pool().await.unwrap();
    stored(&pool, ROOM, sent.iter().map(|one| one.place).max().unwrap(), SOON).await.unwrap();
    rig.gateways[1].program.kill().unwrap();

    let policy = json!({"pattern": r"^parlor\.log\.small\.", "apply-to": "queues", "priority": 1_000, "definition": {"max-length-bytes": 2_000_000}});
    rig.vhost.put(&rig.vhost.path("policies", "cut"), &policy).await.unwrap();
    // Each segment that is full lets the oldest go.
    sent.extend(fill(&rig, &anna, 4_000, &"y".repeat(2_000)).await);
    let log = LogRow::newest(&pool, ROOM).await.unwrap();
    let first = RawLog::connect(&rig.vhost.admin_url).await.unwrap().read(&log.stream).await.unwrap()[0].offset;
    assert!(i64::try_from(first).unwrap() > log.offset + 1, "nothing was cut off: this shows nothing");
    let historian = Wiring { roles: "historian", name: "historian-2".to_owned(), ..rig.wiring() };
    rig.start_gateway(&historian).await.unwrap();
    stored(&pool, ROOM, sent.iter().map(|one| one.place).max().unwrap(), REPAIR).await.unwrap();

    let (history, gaps) = load::history_with_gaps(&rig.http, rig.gateway(0), &anna, ROOM).await.unwrap();
    let [gap] = gaps.as_slice() else { panic!("one gap was to be there, not {gaps:?}") };
    assert_eq!(gap["epoch"], json!(log.epoch));
    let (from, to) = (gap["from"].as_u64().unwrap(), gap["to"].as_u64().unwrap());
    let (lost, kept): (Vec<_>, Vec<_>) = sent.into_iter().partition(|one| (from..=to).contains(&one.place.1));
    println!("{} lost between {from} and {to}, {} kept", lost.len(), kept.len());
    assert!(!lost.is_empty());
    check(&kept, &[history, load::messages(&pool, ROOM).await.unwrap(), load::events(&pool, ROOM).await.unwrap()])
        .assert_none();
    // The log itself goes on, under the same epoch.
    let ok = send_at_last(&rig, 0, &anna, &Uuid::now_v7().to_string(), "after").await;
    assert_eq!(ok["epoch"], json!(log.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_keeps_little_stops_sending_before_the_historian_could_miss_something() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let class = json!({"name": "small", "replicas": 1, "segmentBytes": "64Ki", "maxBytes": "1Mi"});
    rig.write_platform(&[class]).unwrap();
    rig.write_room(ROOM, &json!({"className": "small"})).unwrap();
    rig.start_gateway(&Wiring { roles: "gateway", ..rig.wiring() }).await.unwrap();
    rig.start_operator().await.unwrap();
    rig.rooms_ready(1, REPAIR).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let mut sent = Vec::new();
    // Short messages, of which the broker's part is the greater, and without the limit some times what the log keeps.
    let behind = loop {
        let id = Uuid::now_v7().to_string();
        let reply = socket.say(ROOM, &id, "short").await.unwrap();
        let Some(ok) = reply.get("ok") else { break reply };
        sent.push(Acknowledged { author: anna.id.clone(), id, place: place(ok), run: Some(0) });
        assert!(sent.len() < 4_000, "it goes on");
    };
    assert_eq!(behind["err"]["reason"], "history_behind", "{behind}");
    rig.start_gateway(&Wiring { roles: "historian", name: "historian".to_owned(), ..rig.wiring() }).await.unwrap();
    let id = Uuid::now_v7().to_string();
    let ok = send_at_last(&rig, 0, &anna, &id, "after").await;
    sent.push(Acknowledged { author: anna.id.clone(), id, place: place(&ok), run: None });
    let pool = rig.database.pool().await.unwrap();
    stored(&pool, ROOM, sent.last().unwrap().place, REPAIR).await.unwrap();
    println!("{} messages before it stopped", sent.len() - 1);
    let (_, gaps) = load::history_with_gaps(&rig.http, rig.gateway(0), &anna, ROOM).await.unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_agree(&rig, &anna, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_published_by_an_administrator_is_void_and_the_chat_goes_on() {
    let rig = Rig::chat(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut watchers = [subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await];
    let mut sender = rig.socket(0, &anna).await.unwrap();
    let pool = rig.database.pool().await.unwrap();
    let log = LogRow::newest(&pool, ROOM).await.unwrap();
    let raw = RawLog::connect(&rig.vhost.admin_url).await.unwrap();
    let user = json!({"id": anna.id, "username": "anna", "display_name": "Anna"});
    let (_, first) = sender.said(ROOM, "first").await.unwrap();
    for watcher in &mut watchers {
        next_message(watcher).await.unwrap();
    }
    let event = |text: &str, sender: &Value| {
        let id = Uuid::now_v7();
        json!({"key": id, "hash": "h", "after": {"ordinal": 0, "pos": 0}, "sender": sender, "time": first["time"],
            "type": "message", "message": {"id": id, "text": text, "attachments": []}})
    };
    let with_time = |time: &str| {
        let mut event = event("x", &user);
        event["time"] = json!(time);
        event
    };
    let poisons: [(&str, Vec<u8>); 9] = [
        ("no JSON", b"\x00\xff\x00 not json".to_vec()),
        ("nothing", Vec::new()),
        ("a later version", br#"{"v":9,"events":[]}"#.to_vec()),
        ("no events", br#"{"v":1,"events":[]}"#.to_vec()),
        ("an event of no shape", br#"{"v":1,"events":[{"type":"message"}]}"#.to_vec()),
        (
            "a name that is no user",
            json!({"v": 1, "events": [event("x", &json!({"id": "nobody"}))]}).to_string().into(),
        ),
        ("a NUL in the text", json!({"v": 1, "events": [event("a\0b", &user)]}).to_string().into()),
        ("a time that is none", json!({"v": 1, "events": [with_time("soon")]}).to_string().into()),
        ("an event that is only a key", json!({"v": 1, "events": [{"key": "x"}]}).to_string().into()),
    ];
    for (what, body) in &poisons {
        raw.publish(&log, body).await.unwrap();
        let (id, ok) = sender.said(ROOM, what).await.unwrap();
        stored(&pool, ROOM, place(&ok), SOON).await.unwrap();
        for watcher in &mut watchers {
            assert_eq!(next_message(watcher).await.unwrap().id, id, "after {what}");
        }
    }
    // Headers of another room and of another epoch are passed by.
    let foreign = LogRow { room: Uuid::now_v7().to_string(), ..log.clone() };
    let other_epoch = LogRow { epoch: "9-abcdef".to_owned(), ..log.clone() };
    for wrong in [foreign, other_epoch] {
        raw.publish(&wrong, json!({"v": 1, "events": [event("not of this log", &user)]}).to_string().as_bytes())
            .await
            .unwrap();
    }
    let (id, ok) = sender.said(ROOM, "at the end").await.unwrap();
    stored(&pool, ROOM, place(&ok), SOON).await.unwrap();
    for watcher in &mut watchers {
        assert_eq!(next_message(watcher).await.unwrap().id, id);
    }
    let history = assert_agree(&rig, &anna, &[]).await;
    assert_eq!(history.messages.len(), poisons.len() + 2);
    assert_eq!(LogRow::newest(&pool, ROOM).await.unwrap().epoch, log.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_so_slow_that_no_anchor_comes_is_no_reason_for_a_new_epoch() {
    let mut rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let sent = fill(&rig, &anna, 100, "before").await;
    let pool = rig.database.pool().await.unwrap();
    stored(&pool, ROOM, sent.iter().map(|one| one.place).max().unwrap(), SOON).await.unwrap();
    let log = LogRow::newest(&pool, ROOM).await.unwrap();
    let proxy = Proxy::amqp(&rig.vhost.services_url).await.unwrap();
    // It says yes to every consumer, and nothing comes.
    proxy.set(Direction::ToClient, Flow::WithoutDeliveries);
    let slow = Wiring { roles: "gateway", amqp_url: proxy.url(&rig.vhost.services_url), ..rig.wiring() };
    let slow = rig.start_gateway(&slow).await.unwrap();
    let mut socket = rig.socket(slow, &anna).await.unwrap();
    let reply = socket.call("subscribe", json!({"room": ROOM})).await.unwrap();
    assert_eq!(reply["err"]["temporary"], true, "{reply}");
    wait::until(SLOW, "an attach that found nothing out", async || {
        Ok((rig.metric(slow, "parlor_log_attach_failures_total").await? >= 1.0).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(LogRow::newest(&pool, ROOM).await.unwrap(), log);
    proxy.release();
    let ok = send_at_last(&rig, slow, &anna, &Uuid::now_v7().to_string(), "after").await;
    assert_eq!(ok["epoch"], json!(log.epoch));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_empty_database_nothing_in_the_broker_is_touched() {
    let mut rig = Rig::chat(1, &[ROOM, "team-b/other"]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    fill(&rig, &anna, 50, "before").await;
    let raw = RawLog::connect(&rig.vhost.admin_url).await.unwrap();
    let before = broker(&rig, &raw).await;
    assert_eq!(before.len(), 2);
    rig.operator.take();
    rig.gateways.clear();
    let empty = Servers::from_env().unwrap().database().await.unwrap();
    let wiring = Wiring { database_url: empty.url.clone(), ..rig.wiring() };
    rig.start_gateway(&wiring).await.unwrap();
    let proxy = Proxy::http(&rig.vhost.management_url).await.unwrap();
    rig.start_operator_through(&proxy.url(&rig.vhost.management_url)).await.unwrap();
    let status = rig.room_status(ROOM, REPAIR, |room| room["reason"] == "ForeignBroker").await.unwrap();
    assert_eq!(status["ready"], false);
    // Also after another whole look: one begins again with what the one before asked for first.
    proxy.forget_requests();
    wait::until(2 * REPAIR, "another look at the broker", async || {
        let asked: Vec<String> = proxy.requests(|_| true).into_iter().map(|request| request.path).collect();
        Ok(asked.iter().any(|path| asked.iter().filter(|other| *other == path).count() >= 2).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(proxy.requests(|request| request.method != "GET"), []);
    assert_eq!(broker(&rig, &raw).await, before);
    drop(rig);
    drop(empty);
}

/// Every log with the number of messages in it.
async fn broker(rig: &Rig, raw: &RawLog) -> BTreeSet<(String, usize)> {
    let mut all = BTreeSet::new();
    for stream in rig.vhost.queues("parlor.log.").await.unwrap() {
        let count = raw.read(&stream).await.unwrap().len();
        all.insert((stream, count));
    }
    all
}
