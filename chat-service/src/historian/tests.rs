//! Against a real PostgreSQL and a real RabbitMQ.

use super::run;
use crate::live::{Hint, Live};
use crate::log::RoomKey;
use crate::store::append::{Segment, Stored, append};
use crate::testing::rig::{Rig, eventually};
use crate::testing::{closed, delivery, message};
use contract::event::Event;
use contract::names::LIVE_EXCHANGE;
use contract::position::pos;
use e2e::proxy::Proxy;
use service::health::Health;
use service::shutdown::Shutdown;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const EPOCH: &str = "1-aaaaaa";

struct Historian {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Historian {
    fn start(rig: &Rig, name: &str, url: &str) -> Self {
        let shutdown = Shutdown::new();
        let check = Health::new().check("historian");
        let task = run(rig.fixture.pool.clone(), Rig::broker(url), name.into(), check, shutdown.clone());
        Self { shutdown, task: tokio::spawn(task) }
    }

    async fn stop(mut self) {
        self.shutdown.begin();
        tokio::time::timeout(Duration::from_secs(12), &mut self.task).await.unwrap().unwrap();
    }
}

/// Nothing of it outlives the test.
impl Drop for Historian {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn numbered(from: usize, to: usize) -> Vec<Event> {
    (from..to).map(|number| message(&number.to_string())).collect()
}

fn numbers(to: usize) -> Vec<String> {
    (0..to).map(|number| number.to_string()).collect()
}

async fn count(rig: &Rig, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&rig.fixture.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_logs_is_stored_and_a_stop_gives_the_leases_back() {
    let rig = Rig::new().await;
    let mut rooms = Vec::new();
    for n in 0..10 {
        let (room, _) = rig.room(&format!("room-{n}")).await;
        rig.publish(&room, EPOCH, &numbered(0, 3)).await;
        rooms.push(room);
    }
    let historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    for room in &rooms {
        assert_eq!(rig.texts_once(room, 3).await, numbers(3));
    }
    // A room that comes later, and what is written while it is read.
    let (late, _) = rig.room("late").await;
    let began = Instant::now();
    rig.publish(&late, EPOCH, &numbered(0, 2)).await;
    rig.texts_once(&late, 2).await;
    assert!(began.elapsed() < Duration::from_secs(15), "a new log was noticed after {:?}", began.elapsed());
    rig.publish(&rooms[0], EPOCH, &numbered(3, 5)).await;
    assert_eq!(rig.texts_once(&rooms[0], 5).await, numbers(5));
    historian.stop().await;
    assert_eq!(count(&rig, "select count(*) from partitions where owner is not null").await, 0);
    assert_eq!(count(&rig, "select count(*) from historians").await, 0);
    // Nothing is lost in between, nothing comes twice.
    rig.publish(&rooms[0], EPOCH, &numbered(5, 6)).await;
    let _next = Historian::start(&rig, "b", &rig.vhost.services_url);
    assert_eq!(rig.texts_once(&rooms[0], 6).await, numbers(6));
    assert_eq!(count(&rig, "select count(*) from events").await, 10 * 3 + 2 + 3);
}

/// Both bear one name, so both hold every partition: as with a historian that was frozen and thaws.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_historians_on_the_same_logs_store_everything_once_also_when_both_were_held_in_mid_transaction() {
    let rig = Rig::new().await;
    let (first, log) = rig.room("first").await;
    let (second, _) = rig.room("second").await;
    let _one = Historian::start(&rig, "same", &rig.vhost.services_url);
    let _two = Historian::start(&rig, "same", &rig.vhost.services_url);
    for n in 0..50 {
        rig.publish(&first, EPOCH, &numbered(n * 4, n * 4 + 4)).await;
        rig.publish(&second, EPOCH, &numbered(n, n + 1)).await;
    }
    rig.texts_once(&first, 200).await;
    let mut holding = rig.fixture.pool.begin().await.unwrap();
    sqlx::query("select 1 from logs where id = $1 for update").bind(log).execute(&mut *holding).await.unwrap();
    for n in 50..100 {
        rig.publish(&first, EPOCH, &numbered(n * 4, n * 4 + 4)).await;
        rig.publish(&second, EPOCH, &numbered(n, n + 1)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.texts(&first).await.len(), 200, "somebody stored past a row that was locked");
    holding.commit().await.unwrap();
    assert_eq!(rig.texts_once(&first, 400).await, numbers(400));
    assert_eq!(rig.texts_once(&second, 100).await, numbers(100));
    assert_eq!(count(&rig, "select count(*) from events").await, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_historian_that_was_overtaken_goes_on_from_the_row() {
    let rig = Rig::new().await;
    let (room, log) = rig.room("room").await;
    rig.publish(&room, EPOCH, &numbered(0, 1)).await;
    let historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    rig.texts_once(&room, 1).await;
    // Somebody stores the next message first: the row is held while both copies are on their way.
    let next = numbered(1, 2);
    let mut holding = rig.fixture.pool.begin().await.unwrap();
    sqlx::query("update logs set off = 1, pos = 2048, anchor_crc = null where id = $1")
        .bind(log)
        .execute(&mut *holding)
        .await
        .unwrap();
    rig.publish(&room, EPOCH, &next).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    holding.commit().await.unwrap();
    rig.publish(&room, EPOCH, &numbered(2, 3)).await;
    assert_eq!(rig.texts_once(&room, 2).await, ["0", "2"], "what the row says is stored is not stored again");
    historian.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_and_nothing_comes_twice_through_connections_that_break() {
    let rig = Rig::new().await;
    let (room, _) = rig.room("room").await;
    let proxy = Proxy::amqp(&rig.vhost.services_url).await.unwrap();
    let _historian = Historian::start(&rig, "a", &proxy.url(&rig.vhost.services_url));
    let mut cuts = 0;
    for n in 0..300 {
        rig.publish(&room, EPOCH, &numbered(n * 2, n * 2 + 2)).await;
        if n % 75 == 50 {
            // Only once it reads: a connection that is cut before is no test.
            eventually("a reader", Duration::from_secs(20), async || (rig.texts(&room).await.len() > n).then_some(()))
                .await;
            cuts += proxy.cut_where(|_| true);
        }
    }
    assert!(cuts >= 4, "only {cuts} connections were cut");
    assert_eq!(rig.texts_once(&room, 600).await, numbers(600));
    assert_eq!(count(&rig, "select count(*) from gaps").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_hands_over_to_the_next_log_at_once_and_a_poison_body_stops_nobody() {
    let rig = Rig::new().await;
    let live = Live::start(&Rig::broker(&rig.vhost.services_url), "gateway-1");
    let mut hints = live.hints();
    eventually("the gateway's ear", Duration::from_secs(20), async || {
        let bindings = rig.vhost.get(&format!("/api/bindings/{}", rig.vhost.name)).await.unwrap()?;
        bindings.as_array()?.iter().any(|binding| binding["source"] == LIVE_EXCHANGE).then_some(())
    })
    .await;
    let (room, log) = rig.room("room").await;
    let next = rig.log(&room, "2-bbbbbb", "pending", &[]).await;
    let historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    rig.publish(&room, EPOCH, &numbered(0, 1)).await;
    rig.publish_body(&room, EPOCH, b"{\"v\":1,\"events\":7}").await;
    rig.publish(&room, EPOCH, &[message("1"), closed("2-bbbbbb"), message("void")]).await;
    rig.publish(&room, EPOCH, &numbered(7, 8)).await;
    rig.publish(&room, "2-bbbbbb", &numbered(2, 4)).await;
    assert_eq!(rig.texts_once(&room, 4).await, numbers(4));
    let hint = tokio::time::timeout(Duration::from_mins(1), hints.recv()).await.unwrap().unwrap();
    assert_eq!(hint, Hint::RoomChanged { room: room.id }, "gateways need not wait for their next look");
    let states: Vec<String> = sqlx::query_scalar("select state from logs where id = any($1) order by ordinal")
        .bind(vec![log, next])
        .fetch_all(&rig.fixture.pool)
        .await
        .unwrap();
    assert_eq!(states, ["closed", "open"]);
    assert_eq!(count(&rig, "select count(*) from quarantine").await, 1);
    historian.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_off_before_it_was_read_is_a_gap_and_the_rest_is_exact() {
    let rig = Rig::new().await;
    let arguments = [("x-max-length-bytes", 200_000), ("x-stream-max-segment-size-bytes", 100_000)];
    let read_before = crate::testing::room(&rig.fixture.pool, "read-before").await;
    rig.log(&read_before, EPOCH, "open", &arguments).await;
    let never_read = crate::testing::room(&rig.fixture.pool, "never-read").await;
    rig.publish(&read_before, EPOCH, &numbered(0, 2)).await;
    let historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    rig.texts_once(&read_before, 2).await;
    historian.stop().await;
    // Nobody reads it meanwhile.
    rig.log(&never_read, EPOCH, "open", &arguments).await;
    let big = "x".repeat(50_000);
    for room in [&read_before, &never_read] {
        for n in 0..40 {
            rig.publish(room, EPOCH, &[message(&format!("{n} {big}"))]).await;
        }
    }
    let _historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    for (room, from_expected, before) in [(&read_before, pos(1, 0), 2), (&never_read, pos(0, 0), 0)] {
        let texts = eventually("the last message", Duration::from_secs(30), async || {
            let texts = rig.texts(room).await;
            texts.last().is_some_and(|text| text.starts_with("39 ")).then_some(texts)
        })
        .await;
        let kept: Vec<usize> =
            texts[before..].iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(kept.len() < 40, "the broker has cut nothing off");
        assert_eq!(kept, (40 - kept.len()..40).collect::<Vec<_>>(), "all that the stream still had");
        let (from, to): (i64, i64) = sqlx::query_as("select from_pos, to_pos from gaps where room = $1")
            .bind(room.id)
            .fetch_one(&rig.fixture.pool)
            .await
            .unwrap();
        let first: i64 = sqlx::query_scalar("select min(pos) from events where room = $1 and pos > $2")
            .bind(room.id)
            .bind(to)
            .fetch_one(&rig.fixture.pool)
            .await
            .unwrap();
        // Not counted from the messages: the broker takes offsets of its own where a segment begins.
        assert_eq!((from, to), (i64::try_from(from_expected).unwrap(), first - 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_the_one_that_was_stored_is_not_read_and_others_are() {
    let rig = Rig::new().await;
    let (wrong, log) = rig.room("wrong").await;
    let (right, _) = rig.room("right").await;
    rig.publish(&wrong, EPOCH, &numbered(0, 2)).await;
    rig.publish(&wrong, EPOCH, &numbered(2, 3)).await;
    sqlx::query("update logs set off = 0, pos = 1024, anchor_crc = 1 where id = $1")
        .bind(log)
        .execute(&rig.fixture.pool)
        .await
        .unwrap();
    let _historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    rig.publish(&right, EPOCH, &numbered(0, 1)).await;
    rig.texts_once(&right, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rig.texts(&wrong).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_salvaged_is_not_read_again() {
    let rig = Rig::new().await;
    let (room, log): (RoomKey, i64) = rig.room("room").await;
    let events = numbered(0, 3);
    rig.publish(&room, EPOCH, &events).await;
    let segment = Segment {
        log,
        room: room.clone(),
        epoch: EPOCH.parse().unwrap(),
        old_off: -1,
        deliveries: vec![delivery(room.id, EPOCH, 0, &events)],
    };
    assert_eq!(append(&rig.fixture.pool, &[segment]).await.unwrap(), [Stored::Done]);
    let _historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    rig.publish(&room, EPOCH, &numbered(3, 4)).await;
    assert_eq!(rig.texts_once(&room, 4).await, numbers(4));
    assert_eq!(count(&rig, "select count(*) from events").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_while_postgresql_ends_every_connection() {
    let rig = Rig::new().await;
    let (room, _) = rig.room("room").await;
    let _historian = Historian::start(&rig, "a", &rig.vhost.services_url);
    let mut ended = 0;
    for n in 0..200 {
        rig.publish(&room, EPOCH, &numbered(n * 5, n * 5 + 5)).await;
        if n % 40 == 20 {
            let all = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                       where datname = current_database() and pid <> pg_backend_pid()";
            // Now and then it has none at all.
            ended += eventually("a connection to end", Duration::from_secs(30), async || {
                let ended = sqlx::query_scalar::<_, i64>(all).fetch_one(&rig.fixture.pool).await.unwrap();
                (ended > 0).then_some(ended)
            })
            .await;
        }
    }
    assert!(ended >= 5, "only {ended} connections were ended");
    assert_eq!(rig.texts_once(&room, 1000).await, numbers(1000));
    assert_eq!(count(&rig, "select count(*) from message_keys").await, 1000);
}

/// In a runtime of its own, which can end in the middle of anything, as a killed process does.
fn in_own_runtime(rig: &Rig, name: &'static str) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (database, amqp) = (rig.fixture.database.url.clone(), rig.vhost.services_url.clone());
    runtime.spawn(async move {
        let pool = sqlx::PgPool::connect(&database).await.unwrap();
        run(pool, Rig::broker(&amqp), name.into(), Health::new().check("historian"), Shutdown::new()).await;
    });
    runtime
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_historians_is_killed_the_other_takes_over_and_nothing_is_lost_or_doubled() {
    let rig = Rig::new().await;
    let (killed, survivor) = (in_own_runtime(&rig, "killed"), in_own_runtime(&rig, "survivor"));
    eventually("fair shares", Duration::from_secs(20), async || {
        let shares =
            "select count(*) from (select 1 from partitions where until > now() group by owner having count(*) = 32) s";
        (count(&rig, shares).await == 2).then_some(())
    })
    .await;
    let mut rooms = Vec::new();
    for n in 0..24 {
        rooms.push(rig.room(&format!("room-{n}")).await.0);
    }
    let mut killed = Some(killed);
    for n in 0..40 {
        for room in &rooms {
            rig.publish(room, EPOCH, &numbered(n * 3, n * 3 + 3)).await;
        }
        if n == 20 {
            killed.take().unwrap().shutdown_background();
        }
    }
    for room in &rooms {
        assert_eq!(rig.texts_once(room, 120).await, numbers(120));
    }
    assert_eq!(count(&rig, "select count(*) from events").await, 24 * 120);
    assert_eq!(count(&rig, "select count(*) from partitions where owner = 'survivor' and until > now()").await, 64);
    survivor.shutdown_background();
}
