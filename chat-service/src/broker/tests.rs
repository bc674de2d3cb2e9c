//! Against the real broker, in a virtual host of the test's own, as the user that the services are.

use super::*;
use crate::log::delivery::Delivery;
use contract::names::{LIVE_EXCHANGE, ROOMS_EXCHANGE};
use e2e::servers::{Servers, TestVhost};
use serde_json::json;
use std::time::Instant;
use uuid::Uuid;

const STREAM: &str = "parlor.log.standard.team-a.general.1-aaaaaa";
const KEY: &str = "room.team-a.general.1-aaaaaa";

async fn vhost() -> TestVhost {
    let vhost = Servers::from_env().unwrap().vhost().await.unwrap();
    for exchange in [ROOMS_EXCHANGE, LIVE_EXCHANGE] {
        vhost.put(&vhost.path("exchanges", exchange), &json!({"type": "topic", "durable": true})).await.unwrap();
    }
    declare(&vhost, STREAM, KEY).await;
    vhost
}

async fn declare(vhost: &TestVhost, stream: &str, key: &str) {
    let queue = json!({"durable": true, "arguments": {"x-queue-type": "stream"}});
    vhost.put(&vhost.path("queues", stream), &queue).await.unwrap();
    let body = json!({"routing_key": key});
    let path = format!("/api/bindings/{}/e/{ROOMS_EXCHANGE}/q/{stream}", vhost.name);
    e2e::http::client().unwrap().post(format!("{}{path}", vhost.management_url)).json(&body).send().await.unwrap();
}

fn broker(vhost: &TestVhost) -> Broker {
    Broker::start(vec![vhost.services_url.clone()], Check::detached("broker"), &Shutdown::new())
}

fn publication(key: &str, body: &str) -> Publication {
    let log = Some((Uuid::nil(), "1-aaaaaa".parse().unwrap()));
    Publication { exchange: ROOMS_EXCHANGE, key: key.into(), log, mandatory: true, body: body.into() }
}

async fn next(consumer: &mut Consumer) -> Result<Delivery, ConsumeError> {
    timeout(Duration::from_secs(30), consumer.next()).await.expect("nothing was delivered")
}

#[tokio::test]
async fn what_is_published_is_read_at_growing_offsets_from_wherever_one_asks() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let mut from_start = broker.consume(STREAM, From::Offset(0), 32).await.unwrap();
    for i in 0..300 {
        assert_eq!(broker.publish(publication(KEY, &format!("m{i}"))).await, Published::Confirmed);
    }
    for i in 0..300 {
        let delivery = next(&mut from_start).await.unwrap();
        assert_eq!((delivery.offset, &delivery.body[..]), (i, format!("m{i}").as_bytes()));
        assert!(delivery.is_for(Uuid::nil(), &"1-aaaaaa".parse().unwrap()));
    }
    assert!(from_start.try_next().is_none());
    let mut from_middle = broker.consume(STREAM, From::Offset(200), 32).await.unwrap();
    assert_eq!(next(&mut from_middle).await.unwrap().offset, 200);
    let mut first = broker.consume(STREAM, From::First, 32).await.unwrap();
    assert_eq!(next(&mut first).await.unwrap().offset, 0);
    let mut last = broker.consume(STREAM, From::Last, 32).await.unwrap();
    assert!(next(&mut last).await.unwrap().offset > 200);
}

#[tokio::test]
async fn a_message_that_no_log_takes_is_returned_and_others_at_the_same_time_are_not() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let all = (0..200).map(|i| {
        let broker = &broker;
        async move {
            let key = if i % 2 == 0 { KEY } else { "room.team-a.general.0-gone" };
            (i % 2 == 0, broker.publish(publication(key, "x")).await)
        }
    });
    for (routed, published) in futures::future::join_all(all).await {
        assert_eq!(published, if routed { Published::Confirmed } else { Published::Returned });
    }
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_not_found_and_its_neighbours_read_on() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let mut neighbour = broker.consume(STREAM, From::Offset(0), 32).await.unwrap();
    let missing = broker.consume("parlor.log.standard.team-a.general.9-zzzzzz", From::Offset(0), 32).await;
    assert!(matches!(missing, Err(ConsumeError::NotFound)), "{missing:?}");
    assert_eq!(broker.publish(publication(KEY, "x")).await, Published::Confirmed);
    assert_eq!(next(&mut neighbour).await.unwrap().offset, 0);
}

#[tokio::test]
async fn a_deleted_stream_cancels_its_consumers() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let mut consumer = broker.consume(STREAM, From::Offset(0), 32).await.unwrap();
    let began = Instant::now();
    vhost.delete(&vhost.path("queues", STREAM)).await.unwrap();
    assert_eq!(next(&mut consumer).await.unwrap_err(), ConsumeError::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn connections_that_the_broker_ends_are_made_again() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let mut consumer = broker.consume(STREAM, From::Offset(0), 32).await.unwrap();
    assert_eq!(broker.publish(publication(KEY, "before")).await, Published::Confirmed);
    assert_eq!(next(&mut consumer).await.unwrap().offset, 0);
    let ended = kill_connections(&vhost).await;
    assert!(ended >= 2, "{ended} connections");
    let error = next(&mut consumer).await.unwrap_err();
    assert!(matches!(error, ConsumeError::Ended(_)), "{error:?}");
    let mut again = broker.consume(STREAM, From::Offset(0), 32).await.unwrap();
    assert_eq!(next(&mut again).await.unwrap().offset, 0);
    for _ in 0..50 {
        match broker.publish(publication(KEY, "after")).await {
            Published::Confirmed => break,
            Published::Refused | Published::Unknown => tokio::time::sleep(Duration::from_millis(100)).await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(&next(&mut again).await.unwrap().body[..], b"after");
}

/// Ends all connections of the virtual host; waits until the management API has heard of them.
async fn kill_connections(vhost: &TestVhost) -> usize {
    let mut ended = 0;
    for _ in 0..100 {
        let all = vhost.get(&format!("/api/vhosts/{}/connections", vhost.name)).await.unwrap().unwrap_or_default();
        for connection in all.as_array().unwrap() {
            let Some(name) = connection["name"].as_str() else { continue };
            let name = name.replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
            ended += usize::from(vhost.delete(&format!("/api/connections/{name}")).await.is_ok());
        }
        if ended >= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ended
}

#[tokio::test]
async fn many_consumers_at_once_all_hear_and_dropping_them_leaves_nothing() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    assert_eq!(broker.publish(publication(KEY, "x")).await, Published::Confirmed);
    let all = (0..150).map(|_| async {
        let mut consumer = broker.consume(STREAM, From::Offset(0), 4).await.unwrap();
        assert_eq!(next(&mut consumer).await.unwrap().offset, 0);
        consumer
    });
    let consumers = futures::future::join_all(all).await;
    assert_eq!(consumers.len(), 150);
    has_consumers(&vhost, 150).await;
    drop(consumers);
    has_consumers(&vhost, 0).await;
}

async fn has_consumers(vhost: &TestVhost, expected: usize) {
    let mut count = 0;
    for _ in 0..150 {
        let all = vhost.get(&format!("/api/consumers/{}", vhost.name)).await.unwrap().unwrap_or_default();
        count = all.as_array().unwrap().len();
        if count == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{count} consumers instead of {expected}");
}

#[tokio::test]
async fn without_a_broker_a_publish_is_refused_and_a_consumer_unavailable_within_their_limits() {
    let [port] = e2e::ports::free().unwrap();
    let closed = format!("amqp://a:b@127.0.0.1:{port}/x");
    let broker = Broker::start(vec![closed], Check::detached("broker"), &Shutdown::new());
    let began = Instant::now();
    assert_eq!(broker.publish(publication(KEY, "x")).await, Published::Refused);
    assert!(matches!(broker.consume(STREAM, From::First, 4).await, Err(ConsumeError::Unavailable)));
    assert!(began.elapsed() < Duration::from_secs(30) && broker.is_down());
}

#[tokio::test]
async fn an_own_queue_takes_what_its_keys_choose_within_the_services_rights() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let mut queue = broker.own_queue("parlor.gateway.test.1", LIVE_EXCHANGE, &["hint.#"]).await.unwrap();
    for (key, body) in [("other.x", "no"), ("hint.x", "yes")] {
        let publication =
            Publication { exchange: LIVE_EXCHANGE, key: key.into(), log: None, mandatory: false, body: body.into() };
        assert_eq!(broker.publish(publication).await, Published::Confirmed);
    }
    assert_eq!(timeout(Duration::from_secs(30), queue.next()).await.unwrap().unwrap(), b"yes");
    assert!(matches!(broker.own_queue("elsewhere", LIVE_EXCHANGE, &["#"]).await, Err(ConsumeError::Ended(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_follows_another_of_its_stream_begins_where_it_asks() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    let writing = {
        let broker = broker.clone();
        tokio::spawn(async move {
            loop {
                broker.publish(publication(KEY, "x")).await;
                if rand::random::<u8>() < 40 {
                    tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>() / 4))).await;
                }
            }
        })
    };
    // Each begins while the broker still has something to say to the one before.
    let mut expected = 0;
    for _ in 0..60 {
        let mut consumer = broker.consume(STREAM, From::Offset(expected), 100).await.unwrap();
        for _ in 0..rand::random_range(1..6) {
            assert_eq!(next(&mut consumer).await.unwrap().offset, expected);
            expected += 1;
        }
    }
    writing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_leaves_early_takes_nobody_with_it() {
    let vhost = vhost().await;
    let broker = broker(&vhost);
    for i in 0..40 {
        assert_eq!(broker.publish(publication(KEY, &i.to_string())).await, Published::Confirmed);
    }
    let mut neighbour = broker.consume(STREAM, From::Last, 32).await.unwrap();
    next(&mut neighbour).await.unwrap();
    let leaving = async |take: u64| {
        for _ in 0..100 {
            let mut consumer = broker.consume_once(STREAM, From::Offset(0), 16).await.unwrap();
            for offset in 0..take {
                assert_eq!(next(&mut consumer).await.unwrap().offset, offset);
            }
        }
    };
    tokio::join!(leaving(1), leaving(3), leaving(7), leaving(30));
    // The connection that all of them shared is still the same.
    assert_eq!(broker.publish(publication(KEY, "last")).await, Published::Confirmed);
    while &next(&mut neighbour).await.unwrap().body[..] != b"last" {}
}
