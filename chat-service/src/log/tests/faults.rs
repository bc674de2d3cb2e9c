//! Connections that end, hold or stay away; the promises hold.

use super::kit::{Gateway, World, message, since};
use crate::log::{AppendError, Appended, Config, Draft};
use e2e::proxy::{Direction, Flow, Proxy, Seen};
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn talk(gateway: &Gateway, name: &str, count: usize) -> Vec<(Draft, Appended)> {
    let mut sent = Vec::new();
    for i in 0..count {
        let draft = message(1, Uuid::now_v7(), &format!("{name}{i}"));
        sent.push((draft.clone(), gateway.insist(&draft).await));
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_under_load_lose_nothing_repeat_nothing_and_change_no_order() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let mut sockets = [one.listen(None).await, two.listen(None).await];
    let kills = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            world.kill_connections(4).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(talk(&one, "a", 400), talk(&two, "b", 400), talk(&one, "c", 400), kills);
    // The last of all, so that one knows when everything was seen.
    let end = one.insist(&message(1, Uuid::now_v7(), "end")).await;
    for socket in &mut sockets {
        while socket.seen.last().is_none_or(|(pos, _)| *pos < end.pos) {
            let push = socket.next().await;
            assert!(push.is_none(), "{push:?}");
        }
        assert!(socket.seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(socket.seen.len(), 1201);
        for (draft, appended) in a.iter().chain(&b).chain(&c) {
            let text = match &draft.body {
                contract::event::Body::Message { message } => &message.text,
                other => panic!("{other:?}"),
            };
            assert!(socket.seen.contains(&(appended.pos, text.clone())), "{text} at {}", appended.pos);
        }
    }
    assert_eq!(sockets[0].seen, sockets[1].seen);
    // History has the same.
    while world.store(&one, 10_000).await > 0 {}
    let stored: Vec<i64> =
        sqlx::query_scalar("select pos from events order by pos").fetch_all(&world.fixture.pool).await.unwrap();
    let seen: Vec<i64> = sockets[0].seen.iter().map(|(pos, _)| i64::try_from(*pos).unwrap()).collect();
    assert_eq!(stored, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_reader_is_an_error_after_five_seconds_then_an_event_and_the_retry_a_duplicate() {
    let world = World::new().await;
    let proxy = Proxy::amqp(&world.vhost.services_url).await.unwrap();
    let gateway = world.gateway_with("g1", &proxy.url(&world.vhost.services_url), Config::default());
    let first = gateway.say("first").await.unwrap();
    let mut socket = gateway.listen(Some(since(&first))).await;
    assert_eq!(proxy.set_where(Direction::ToClient, Flow::Hold, Seen::reads_logs), 1);
    let draft = message(1, Uuid::now_v7(), "held");
    let began = Instant::now();
    assert_eq!(gateway.append(&draft).await, Err(AppendError::Unavailable("timeout")));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(30), "{took:?}");
    assert!(socket.seen.is_empty());
    proxy.release();
    socket.until(1).await;
    assert_eq!(socket.texts(), ["held"]);
    let again = gateway.append(&draft).await.unwrap();
    assert_eq!((again.pos, again.duplicate), (socket.seen[0].0, true));
    socket.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_publish_is_an_error_after_five_seconds_and_a_retry_through_another_gateway_counts_once() {
    let world = World::new().await;
    let proxy = Proxy::amqp(&world.vhost.services_url).await.unwrap();
    let (held, free) =
        (world.gateway_with("g1", &proxy.url(&world.vhost.services_url), Config::default()), world.gateway("g2"));
    let first = held.say("first").await.unwrap();
    let mut sockets = [held.listen(Some(since(&first))).await, free.listen(Some(since(&first))).await];
    assert_eq!(proxy.set_where(Direction::ToServer, Flow::Hold, Seen::writes_logs), 1);
    let draft = message(1, Uuid::now_v7(), "twice");
    assert!(matches!(held.append(&draft).await, Err(AppendError::Unavailable(_))));
    // The copy is still on its way when the other gateway appends.
    let counted = free.append(&draft).await.unwrap();
    assert!(!counted.duplicate);
    proxy.release();
    let last = free.insist(&message(1, Uuid::now_v7(), "last")).await;
    assert!(last.pos > counted.pos);
    for socket in &mut sockets {
        socket.until(2).await;
        assert_eq!(socket.texts(), ["twice", "last"]);
        socket.quiet().await;
    }
    let again = held.insist(&draft).await;
    assert_eq!((again.pos, again.duplicate), (counted.pos, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_an_error_at_once_and_all_goes_on_when_it_is_back() {
    let world = World::new().await;
    let proxy = Proxy::amqp(&world.vhost.services_url).await.unwrap();
    let gateway = world.gateway_with("g1", &proxy.url(&world.vhost.services_url), Config::default());
    let first = gateway.say("first").await.unwrap();
    let mut socket = gateway.listen(Some(since(&first))).await;
    proxy.refuse(true);
    proxy.cut_where(|_| true);
    assert!(gateway.say("just now").await.is_err());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    assert_eq!(gateway.say("down").await, Err(AppendError::Unavailable("broker")));
    // Not after the limit of a send.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    proxy.refuse(false);
    let back = gateway.insist(&message(1, Uuid::now_v7(), "back")).await;
    while socket.seen.last().is_none_or(|(pos, _)| *pos < back.pos) {
        socket.until(socket.seen.len() + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgresql_away_open_rooms_go_on_and_what_needs_it_is_unavailable() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.fixture.database.url).await.unwrap();
    let pool = || {
        PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy(&proxy.url(&world.fixture.database.url))
            .unwrap()
    };
    let gateway = world.gateway_on("g1", &world.vhost.services_url, pool(), Config::default());
    gateway.say("before").await.unwrap();
    proxy.refuse(true);
    proxy.cut_where(|_| true);
    // Fresh ids need nothing but memory, which reaches back to the room's begin.
    for i in 0..20 {
        gateway.say(&i.to_string()).await.unwrap();
    }
    // A gateway that does not know the room cannot serve it.
    let other = world.gateway_on("g2", &world.vhost.services_url, pool(), Config::default());
    let began = Instant::now();
    assert_eq!(other.say("x").await, Err(AppendError::Unavailable("database")));
    assert!(began.elapsed() >= Duration::from_millis(4_900) && began.elapsed() < Duration::from_secs(30));
    proxy.refuse(false);
    assert!(!other.insist(&message(1, Uuid::now_v7(), "back")).await.duplicate);
}
