//! Against a real PostgreSQL and a real RabbitMQ.

use super::{Fed, start};
use crate::log::RoomKey;
use crate::store::append::{Segment, Stored, append};
use crate::testing::rig::{Rig, eventually};
use crate::testing::{closed, delivery, message};
use contract::event::Event;
use contract::names::EVENTS_EXCHANGE;
use e2e::proxy::Proxy;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const EPOCH: &str = "1-aaaaaa";

/// Subscribes as another program would.
async fn subscribe(rig: &Rig, queue: &str, key: &str) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    rig.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    let bind = QueueBindOptions::default();
    rig.channel
        .queue_bind(queue.into(), EVENTS_EXCHANGE.into(), key.into(), bind, FieldTable::default())
        .await
        .unwrap();
}

/// What the subscription holds now: routing key, persistence and body.
async fn take(rig: &Rig, queue: &str) -> Vec<(String, Option<u8>, Value)> {
    let mut taken = Vec::new();
    while let Some(got) = rig.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap() {
        assert_eq!(got.delivery.properties.content_type().as_ref().unwrap().as_str(), "application/json");
        let body = serde_json::from_slice(&got.delivery.data).unwrap();
        taken.push((got.delivery.routing_key.to_string(), *got.delivery.properties.delivery_mode(), body));
    }
    taken
}

struct Feed {
    fed: Fed,
    _partitions: watch::Sender<Arc<BTreeSet<i16>>>,
    stop: CancellationToken,
}

impl Feed {
    fn start(rig: &Rig, url: &str) -> Self {
        let (sender, partitions) = watch::channel(Arc::new((0..64).collect()));
        let stop = CancellationToken::new();
        let (fed, _) = start(rig.fixture.pool.clone(), Rig::broker(url), partitions, stop.clone());
        Self { fed, _partitions: sender, stop }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn stored(rig: &Rig, room: &RoomKey, log: i64, epoch: &str, old_off: i64, events: &[Event]) {
    let offset = u64::try_from(old_off + 1).unwrap();
    let deliveries = vec![delivery(room.id, epoch, offset, events)];
    let segment = Segment { log, room: room.clone(), epoch: epoch.parse().unwrap(), old_off, deliveries };
    assert_eq!(append(&rig.fixture.pool, &[segment]).await.unwrap(), [Stored::Done]);
}

async fn sent_everything(rig: &Rig) {
    eventually("the feed", Duration::from_secs(30), async || {
        let behind: i64 = sqlx::query_scalar("select count(*) from logs where pos > feed_pos")
            .fetch_one(&rig.fixture.pool)
            .await
            .unwrap();
        (behind == 0).then_some(())
    })
    .await;
}

/// Positions as they came first, and how many repeats there were.
fn first_deliveries(taken: &[(String, Option<u8>, Value)]) -> (Vec<(String, u64)>, usize) {
    let mut seen = BTreeSet::new();
    let mut first = Vec::new();
    for (_, _, body) in taken {
        let at = (body["epoch"].as_str().unwrap().to_owned(), body["pos"].as_u64().unwrap());
        if seen.insert(at.clone()) {
            first.push(at);
        }
    }
    let repeats = taken.len() - first.len();
    (first, repeats)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_sent_in_log_order_with_room_epoch_and_pos_an_old_log_before_its_successor() {
    let rig = Rig::new().await;
    let (room, log) = rig.room("room").await;
    let next = rig.log(&room, "2-bbbbbb", "pending", &[]).await;
    subscribe(&rig, "all", "event.team-a.room.*").await;
    subscribe(&rig, "edits", "event.team-a.room.edited").await;
    let mut events: Vec<Event> = (0..500).map(|n| message(&n.to_string())).collect();
    events.push(closed("2-bbbbbb"));
    stored(&rig, &room, log, EPOCH, -1, &events).await;
    stored(&rig, &room, next, "2-bbbbbb", -1, &[message("next")]).await;
    let feed = Feed::start(&rig, &rig.vhost.services_url);
    sent_everything(&rig).await;
    let taken = take(&rig, "all").await;
    assert_eq!(taken.len(), 501, "each once, and `closed` is no event for others");
    let texts: Vec<&str> = taken.iter().map(|(_, _, body)| body["message"]["text"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).chain(["next".into()]).collect();
    assert_eq!(texts, expected);
    assert_eq!((taken[0].0.as_str(), taken[0].1), ("event.team-a.room.message", Some(2)));
    assert_eq!((taken[0].2["room"].as_str(), taken[0].2["epoch"].as_str()), (Some("team-a/room"), Some(EPOCH)));
    assert_eq!((taken[1].2["pos"].as_u64(), taken[500].2["epoch"].as_str()), (Some(1025), Some("2-bbbbbb")));
    assert!(take(&rig, "edits").await.is_empty());
    // Told of something new, it does not wait for a sweep.
    stored(&rig, &room, next, "2-bbbbbb", 0, &[message("now")]).await;
    feed.fed.stored(next);
    eventually("the new event", Duration::from_secs(4), async || (take(&rig, "all").await.len() == 1).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_connections_that_break_every_event_comes_and_first_deliveries_keep_their_order() {
    let rig = Rig::new().await;
    let (room, log) = rig.room("room").await;
    subscribe(&rig, "all", "event.#").await;
    let proxy = Proxy::amqp(&rig.vhost.services_url).await.unwrap();
    let feed = Feed::start(&rig, &proxy.url(&rig.vhost.services_url));
    let mut cuts = 0;
    for n in 0..40_i64 {
        let events: Vec<Event> = (0..100).map(|i| message(&format!("{n}.{i}"))).collect();
        stored(&rig, &room, log, EPOCH, n - 1, &events).await;
        feed.fed.stored(log);
        if n % 8 == 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            cuts += proxy.cut_where(|_| true);
        }
    }
    sent_everything(&rig).await;
    assert!(cuts >= 4, "only {cuts} connections were cut");
    let (first, repeats) = first_deliveries(&take(&rig, "all").await);
    assert_eq!(first.len(), 4000, "with {repeats} repeats");
    assert!(first.is_sorted(), "first deliveries are in log order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_feeds_of_the_same_log_lose_nothing_and_keep_the_order_of_first_deliveries() {
    let rig = Rig::new().await;
    let (room, log) = rig.room("room").await;
    subscribe(&rig, "all", "event.#").await;
    let feeds = [Feed::start(&rig, &rig.vhost.services_url), Feed::start(&rig, &rig.vhost.services_url)];
    for n in 0..30_i64 {
        let events: Vec<Event> = (0..100).map(|i| message(&format!("{n}.{i}"))).collect();
        stored(&rig, &room, log, EPOCH, n - 1, &events).await;
        for feed in &feeds {
            feed.fed.stored(log);
        }
    }
    sent_everything(&rig).await;
    let (first, _) = first_deliveries(&take(&rig, "all").await);
    assert_eq!(first.len(), 3000);
    assert!(first.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_refuses_delays_only_its_room() {
    let rig = Rig::new().await;
    let (broken, broken_log) = rig.room("broken").await;
    let (sound, sound_log) = rig.room("sound").await;
    subscribe(&rig, "all", "event.team-a.sound.#").await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    rig.channel.queue_declare("full".into(), options, arguments).await.unwrap();
    let bind = QueueBindOptions::default();
    let key = "event.team-a.broken.#".into();
    rig.channel.queue_bind("full".into(), EVENTS_EXCHANGE.into(), key, bind, FieldTable::default()).await.unwrap();
    let feed = Feed::start(&rig, &rig.vhost.services_url);
    for n in 0..10_i64 {
        stored(&rig, &broken, broken_log, EPOCH, n - 1, &[message(&n.to_string())]).await;
        stored(&rig, &sound, sound_log, EPOCH, n - 1, &[message(&n.to_string())]).await;
        feed.fed.stored(broken_log);
        feed.fed.stored(sound_log);
    }
    eventually("the sound room's events", Duration::from_mins(1), async || {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = rig.channel.queue_declare("all".into(), passive, FieldTable::default()).await.unwrap();
        (queue.message_count() == 10).then_some(())
    })
    .await;
    eventually("the sound room's cursor", Duration::from_mins(1), async || {
        let behind: Vec<i64> =
            sqlx::query_scalar("select id from logs where pos > feed_pos").fetch_all(&rig.fixture.pool).await.unwrap();
        (behind == [broken_log]).then_some(())
    })
    .await;
    rig.channel.queue_delete("full".into(), QueueDeleteOptions::default()).await.unwrap();
    sent_everything(&rig).await;
}
