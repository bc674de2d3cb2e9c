//! A message is there once, however often and wherever it was sent: the traps of copies, retries and lost answers, each by name.

use std::time::{Duration, SystemTime};

use crate::room::{ROOM, SOON, next_message, place, subscribed};
use e2e::checker::ordinal;
use e2e::load;
use e2e::person::Person;
use e2e::rawlog::RawLog;
use e2e::rig::{LogRow, Rig, Wiring, stored};
use e2e::socket::Socket;
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

/// Long enough for a second copy to arrive if there were one.
const QUIET: Duration = Duration::from_secs(2);

/// An id whose own time lies so far back.
fn id_of_age(age: Duration) -> String {
    let then = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Uuid::new_v7(Timestamp::from_unix(NoContext, then.as_secs(), then.subsec_nanos())).to_string()
}

/// That the message with this id is seen exactly once by this socket.
async fn sees_once(socket: &mut Socket, id: &str) {
    assert_eq!(next_message(socket).await.unwrap().id, id);
    socket.silence(QUIET).await.unwrap();
}

/// How often history and database have this id.
async fn assert_stored_once(rig: &Rig, person: &Person, id: &str) {
    let history = load::history(&rig.http, rig.gateway(0), person, ROOM).await.unwrap();
    assert_eq!(history.messages.iter().filter(|seen| seen.id == id).count(), 1, "in the history");
    let pool = rig.database.pool().await.unwrap();
    for view in [load::messages(&pool, ROOM).await.unwrap(), load::events(&pool, ROOM).await.unwrap()] {
        assert_eq!(view.messages.iter().filter(|seen| seen.id == id).count(), 1, "in {}", view.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_on_another_gateway_answers_the_first_position_and_another_text_is_a_conflict() {
    let rig = Rig::chat(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (mut one, mut other) = (subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await);
    let (id, first) = one.said(ROOM, "hello").await.unwrap();
    assert_eq!(first["duplicate"], false);
    for socket in [&mut one, &mut other] {
        let again = socket.say(ROOM, &id, "hello").await.unwrap();
        assert_eq!((&again["ok"]["pos"], &again["ok"]["duplicate"]), (&first["pos"], &json!(true)), "{again}");
        let another = socket.say(ROOM, &id, "hello!").await.unwrap();
        assert_eq!(another["err"]["code"], "idempotency_conflict", "{another}");
        assert_eq!(another["err"]["temporary"], false);
    }
    // Over REST it is the same message too.
    let url = format!("{}/v1/rooms/{ROOM}/messages", rig.gateway(1).http);
    let body = json!({"id": id, "text": "hello"});
    let answer = rig.http.post(url).json(&body).bearer_auth(&anna.access_token).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["pos"], &answer["duplicate"]), (&first["pos"], &json!(true)));
    for socket in [&mut one, &mut other] {
        sees_once(socket, &id).await;
    }
    stored(&rig.database.pool().await.unwrap(), ROOM, place(&first), SOON).await.unwrap();
    assert_stored_once(&rig, &anna, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_senders_equal_id_is_another_message() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let (anna, bert) = (rig.member("anna", ROOM).await.unwrap(), rig.member("bert", ROOM).await.unwrap());
    let mut annas = subscribed(&rig, 0, &anna).await;
    let mut berts = rig.socket(0, &bert).await.unwrap();
    let (id, _) = annas.said(ROOM, "anna's").await.unwrap();
    assert_eq!(berts.say(ROOM, &id, "bert's").await.unwrap()["ok"]["duplicate"], false);
    let seen = [next_message(&mut annas).await.unwrap(), next_message(&mut annas).await.unwrap()];
    assert_eq!(seen.each_ref().map(|one| one.text.as_str()), ["anna's", "bert's"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_from_the_future_is_refused_with_the_reason_clock() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let then = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_mins(7);
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, then.as_secs(), 0)).to_string();
    let reply = socket.say(ROOM, &id, "too early").await.unwrap();
    assert_eq!((&reply["err"]["code"], &reply["err"]["reason"]), (&json!("invalid"), &json!("clock")), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_on_a_third_gateway_that_attached_between_both_copies_is_a_duplicate() {
    let mut rig = Rig::chat(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (mut one, mut other) = (subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await);
    let (id, first) = one.said(ROOM, "hello").await.unwrap();
    let pool = rig.database.pool().await.unwrap();
    let log = LogRow::newest(&pool, ROOM).await.unwrap();
    let raw = RawLog::connect(&rig.vhost.admin_url).await.unwrap();
    let copies = raw.read(&log.stream).await.unwrap();
    let copy = copies.iter().find(|message| String::from_utf8_lossy(&message.body).contains(&id)).unwrap();

    let third = rig.start_gateway(&rig.wiring()).await.unwrap();
    let mut third = subscribed(&rig, third, &anna).await;
    // The second copy, as a gateway that thawed late would let it slip through.
    raw.publish(&log, &copy.body).await.unwrap();
    let again = third.say(ROOM, &id, "hello").await.unwrap();
    assert_eq!((&again["ok"]["pos"], &again["ok"]["duplicate"]), (&first["pos"], &json!(true)), "{again}");
    third.silence(QUIET).await.unwrap();
    for socket in [&mut one, &mut other] {
        sees_once(socket, &id).await;
    }
    // Behind the copy everything goes on, and the copy is in no table.
    let (after, ok) = other.said(ROOM, "after").await.unwrap();
    stored(&pool, ROOM, place(&ok), SOON).await.unwrap();
    for id in [&id, &after] {
        assert_stored_once(&rig, &anna, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_through_two_gateways_of_an_old_id_with_the_historian_stopped_are_shown_once() {
    let mut rig = Rig::chat_split(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (mut one, mut other) = (subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await);
    let mut watcher = subscribed(&rig, 1, &anna).await;
    rig.gateways[2].program.kill().unwrap();
    let ids: Vec<String> = (0..20).map(|_| id_of_age(Duration::from_mins(6))).collect();
    for id in &ids {
        // At the same time: both look it up, both may find it absent, both may publish.
        let (a, b) = tokio::join!(one.say(ROOM, id, "old"), other.say(ROOM, id, "old"));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a["ok"]["pos"].is_u64(), "{a}");
        assert_eq!(a["ok"]["pos"], b["ok"]["pos"], "{a} {b}");
    }
    let mut seen = Vec::new();
    for _ in &ids {
        seen.push(next_message(&mut watcher).await.unwrap().id);
    }
    assert_eq!(seen, ids);
    watcher.silence(QUIET).await.unwrap();
    let historian = Wiring { roles: "historian", name: "historian-2".to_owned(), ..rig.wiring() };
    rig.start_gateway(&historian).await.unwrap();
    let pool = rig.database.pool().await.unwrap();
    e2e::wait::until(SOON, "all ids in history", || async {
        Ok((load::messages(&pool, ROOM).await?.messages.len() >= ids.len()).then_some(()))
    })
    .await
    .unwrap();
    for id in &ids {
        assert_stored_once(&rig, &anna, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_old_id_after_closed_is_shown_once_under_its_first_position() {
    let mut rig = Rig::chat_split(2, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (mut one, mut other) = (subscribed(&rig, 0, &anna).await, subscribed(&rig, 1, &anna).await);
    rig.gateways[2].program.kill().unwrap();
    let id = id_of_age(Duration::from_mins(6));
    let first = one.say(ROOM, &id, "old").await.unwrap()["ok"].take();
    assert_eq!(next_message(&mut other).await.unwrap().id, id);

    let pool = rig.database.pool().await.unwrap();
    let old = LogRow::newest(&pool, ROOM).await.unwrap();
    rig.replace_log(ROOM, &old.epoch).unwrap();
    // `closed` is in the log, and the historian that would switch the row is dead: the room is away, nothing is pretended.
    e2e::wait::until(Duration::from_secs(30), "the room away", || async {
        let newest = LogRow::newest(&pool, ROOM).await?;
        Ok((newest.epoch != old.epoch).then_some(()))
    })
    .await
    .unwrap();
    let historian = Wiring { roles: "historian", name: "historian-2".to_owned(), ..rig.wiring() };
    rig.start_gateway(&historian).await.unwrap();
    let new = LogRow::next(&pool, ROOM, &old.epoch, Duration::from_secs(30)).await.unwrap();

    let again = e2e::wait::until(Duration::from_secs(20), "an answer in the new epoch", || {
        let (anna, rig, id) = (&anna, &rig, &id);
        async move {
            let reply = rig.socket(1, anna).await?.say(ROOM, id, "old").await?;
            Ok(reply.get("ok").cloned())
        }
    })
    .await
    .unwrap();
    assert_eq!((&again["epoch"], &again["pos"]), (&first["epoch"], &first["pos"]), "{again}");
    assert_eq!(again["duplicate"], true);
    let (after, ok) = rig.socket(0, &anna).await.unwrap().said(ROOM, "in the new log").await.unwrap();
    assert_eq!(ok["epoch"], new.epoch.as_str());
    let place = (ordinal(&new.epoch).unwrap(), ok["pos"].as_u64().unwrap());
    stored(&pool, ROOM, place, SOON).await.unwrap();
    for id in [&id, &after] {
        assert_stored_once(&rig, &anna, id).await;
    }
}
