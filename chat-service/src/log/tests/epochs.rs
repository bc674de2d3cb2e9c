//! A room's logs end, close, open, are deleted and replaced by something else.

use super::kit::{Gateway, LIMIT, Socket, World, draft, message, since};
use crate::live::Hint;
use crate::log::outlet::Push;
use crate::log::{AppendError, Config, Since};
use contract::event::{Body, Visibility};
use contract::position::pos;
use serde_json::json;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use uuid::Uuid;

fn room_body(open: bool) -> Body {
    Body::Room { display_name: "Shown".into(), topic: String::new(), visibility: Visibility::Public, open }
}

async fn next_push(socket: &mut Socket) -> Push {
    loop {
        if let Some(push) = socket.next().await {
            return push;
        }
    }
}

/// Waits until sending works.
async fn sends(gateway: &Gateway, text: &str) -> crate::log::Appended {
    gateway.insist(&message(1, Uuid::now_v7(), text)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_is_followed_into_the_next_and_keys_hold_across() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let early = message(1, Uuid::now_v7(), "early");
    let first = one.append(&early).await.unwrap();
    let mut sockets = [one.listen(Some(since(&first))).await, two.listen(Some(since(&first))).await];
    world.add_log("2-bbbbbb", "pending").await;
    let closed = draft(0, Uuid::now_v7(), Body::Closed { next_epoch: "2-bbbbbb".parse().unwrap() });
    one.append(&closed).await.unwrap();
    // The historian has not switched the row: nothing can be sent, nothing is said of a new log.
    let began = Instant::now();
    assert_eq!(one.say("void").await, Err(AppendError::Unavailable("log_changing")));
    assert!(began.elapsed() >= Duration::from_millis(4_900));
    sockets[0].quiet().await;
    assert!(world.store(&one, 100).await > 0);
    assert_eq!(world.row().await.epoch.as_str(), "2-bbbbbb");
    for socket in &mut sockets {
        let push = next_push(socket).await;
        assert!(matches!(&push, Push::Reset { epoch, pos: 0, .. } if epoch.as_str() == "2-bbbbbb"), "{push:?}");
    }
    let after = sends(&two, "after").await;
    assert_eq!((after.epoch.as_str(), after.pos), ("2-bbbbbb", pos(0, 0)));
    for gateway in [&one, &two, &world.gateway("g3")] {
        let again = gateway.insist(&early).await;
        assert_eq!((again.epoch.as_str(), again.pos, again.duplicate), ("1-aaaaaa", first.pos, true));
    }
    for socket in &mut sockets {
        socket.until(1).await;
        assert_eq!(socket.texts(), ["after"]);
    }
    // A position of the old log is not pretended to be one of the new.
    assert!(!one.listen(Some(since(&first))).await.recovered);
    let mut from_start = two.listen(Some(Since { epoch: "2-bbbbbb".parse().unwrap(), pos: 0 })).await;
    from_start.catch_up(&two).await;
    assert_eq!(from_start.texts(), ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_closed_is_void_even_if_it_was_confirmed() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let first = gateway.say("first").await.unwrap();
    let mut socket = gateway.listen(Some(since(&first))).await;
    world.add_log("2-bbbbbb", "pending").await;
    let closed = draft(0, Uuid::now_v7(), Body::Closed { next_epoch: "2-bbbbbb".parse().unwrap() });
    gateway.append(&closed).await.unwrap();
    // As a gateway that has not read `closed` yet.
    let late = message(1, Uuid::now_v7(), "late");
    gateway.publish_raw("1-aaaaaa", &late, OffsetDateTime::now_utc()).await;
    world.store(&gateway, 100).await;
    assert!(matches!(next_push(&mut socket).await, Push::Reset { .. }));
    assert!(socket.seen.is_empty());
    // The sender's retry counts, in the new log.
    let again = gateway.insist(&late).await;
    assert_eq!((again.epoch.as_str(), again.duplicate), ("2-bbbbbb", false));
    socket.until(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_closed_to_sending_refuses_messages_until_it_opens_and_readers_that_begin_between_agree() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let first = gateway.say("first").await.unwrap();
    gateway.append(&draft(0, Uuid::now_v7(), room_body(false))).await.unwrap();
    let refused = message(1, Uuid::now_v7(), "refused");
    assert_eq!(gateway.append(&refused).await, Err(AppendError::Closed));
    // A copy that was on its way is void.
    gateway.publish_raw("1-aaaaaa", &refused, OffsetDateTime::now_utc()).await;
    assert_eq!(world.store(&gateway, 100).await, 3);
    assert!(!world.row().await.sending);
    // Begins at the stored position, knowing from the row how the log stood.
    let fresh = world.gateway("g2");
    assert_eq!(fresh.append(&message(1, Uuid::now_v7(), "x")).await, Err(AppendError::Closed));
    let opened = gateway.append(&draft(0, Uuid::now_v7(), room_body(true))).await.unwrap();
    fresh.logs.reach(&world.room(), &since(&opened), LIMIT).await.unwrap();
    let said = fresh.insist(&refused).await;
    assert!(!said.duplicate);
    let mut socket = gateway.listen(Some(since(&first))).await;
    socket.catch_up(&gateway).await;
    socket.until(3).await;
    assert_eq!(socket.texts(), ["room", "room", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_log_what_gateways_hold_is_stored_before_the_next_opens() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let mut socket = gateway.listen(None).await;
    gateway.say("stored").await.unwrap();
    world.store(&gateway, 100).await;
    for i in 0..20 {
        gateway.say(&format!("held {i}")).await.unwrap();
    }
    world.delete_stream("1-aaaaaa").await;
    // Deleting makes no new log by itself.
    assert!(matches!(gateway.say("lost").await, Err(AppendError::Unavailable(_))));
    assert_eq!(world.row().await.epoch.as_str(), "1-aaaaaa");
    // What RoomAdmin does when it is told that the log is gone.
    let pool = &world.fixture.pool;
    sqlx::query("insert into gateways values ('g1', now() + interval '1 minute')").execute(pool).await.unwrap();
    let expected = "1-aaaaaa".parse().unwrap();
    let replaced = crate::rooms::replace::replace(pool, world.room().id, &expected, true).await.unwrap();
    assert!(replaced.won);
    gateway.live.hint(Hint::RoomChanged { room: world.room().id });
    let began = Instant::now();
    loop {
        let done: bool = sqlx::query_scalar("select bool_and(done) from salvages").fetch_one(pool).await.unwrap();
        if done {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let events: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(pool).await.unwrap();
    assert_eq!(events, 21);
    world.declare(replaced.newest.as_str(), json!({"x-queue-type": "stream"})).await;
    sqlx::query("update logs set state = 'open' where state = 'pending'").execute(pool).await.unwrap();
    gateway.live.hint(Hint::RoomChanged { room: world.room().id });
    let push = next_push(&mut socket).await;
    assert!(matches!(push, Push::Reset { .. }), "{push:?}");
    assert_eq!(socket.seen.len(), 21);
    assert_eq!(sends(&gateway, "again").await.epoch, replaced.newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_another_one_under_the_same_name_needs_evidence_and_becomes_a_new_log() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    for i in 0..5 {
        gateway.say(&i.to_string()).await.unwrap();
    }
    world.store(&gateway, 3).await;
    // Deleted and made again by hand: empty.
    world.delete_stream("1-aaaaaa").await;
    world.declare("1-aaaaaa", json!({"x-queue-type": "stream"})).await;
    let began = Instant::now();
    let pool = &world.fixture.pool;
    loop {
        let gone: i64 =
            sqlx::query_scalar("select count(*) from logs where state = 'gone'").fetch_one(pool).await.unwrap();
        if gone == 1 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(100), "no new log was asked for");
        assert!(matches!(gateway.say("no").await, Err(AppendError::Unavailable(_))));
    }
    // Twice, with time between: an impression is not enough.
    assert!(began.elapsed() > Duration::from_secs(10));
    let pending: String =
        sqlx::query_scalar("select epoch from logs where state = 'pending'").fetch_one(pool).await.unwrap();
    assert!(pending.starts_with("2-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_away_while_the_head_was_cut_off_takes_what_history_has_and_pretends_nothing() {
    let world = World::without_log().await;
    world.fixture.log("1-aaaaaa", "open").await;
    let arguments =
        json!({"x-queue-type": "stream", "x-max-length-bytes": 60_000, "x-stream-max-segment-size-bytes": 20_000});
    world.declare("1-aaaaaa", arguments).await;
    let gateway = world.gateway("g1");
    let first = gateway.say("first").await.unwrap();
    world.store(&gateway, 100).await;
    let text = "x".repeat(5_000);
    for _ in 0..60 {
        gateway.say(&text).await.unwrap();
    }
    let last = gateway.say("last").await.unwrap();
    // Retention has removed what follows on the stored position, and nobody stored it.
    let fresh = world.gateway_with("g2", &world.vhost.services_url, Config::default());
    let mut socket = fresh.listen(Some(since(&first))).await;
    assert!(!socket.recovered);
    let after = fresh.say("after").await.unwrap();
    assert!(after.pos > last.pos);
    loop {
        socket.until(socket.seen.len() + 1).await;
        if socket.texts().last() == Some(&"after") {
            break;
        }
    }
    // The one that read all of it goes on as if nothing had happened.
    let mut whole = gateway.listen(Some(since(&first))).await;
    assert!(whole.recovered);
    whole.catch_up(&gateway).await;
    whole.until(62).await;
}
