//! Appending: order, read-back, once, batches.

use super::kit::{World, message, since};
use crate::log::{AppendError, Config};
use contract::position::{index, pos};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_read_back_in_the_order_of_the_calls_and_many_share_a_message() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let first = gateway.say("first").await.unwrap();
    assert_eq!((first.pos, first.duplicate, first.epoch.as_str()), (pos(0, 0), false, "1-aaaaaa"));
    let appended = gateway.say_many((0..3000).map(|i| i.to_string())).await;
    assert!(appended.windows(2).all(|pair| pair[0].pos < pair[1].pos), "order of calls");
    assert!(appended.iter().all(|one| !one.duplicate));
    let largest = appended.iter().map(|one| index(one.pos)).max().unwrap();
    assert!(largest >= 100, "batches hold up to {} events", largest + 1);
    // Each is at most 1,024 events, so three at least.
    assert!(pos_offset(appended.last().unwrap().pos) >= 3);
}

fn pos_offset(position: u64) -> u64 {
    contract::position::offset(position).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_once_whichever_gateway_it_is_sent_through_again() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let draft = message(1, Uuid::now_v7(), "hello");
    let first = one.append(&draft).await.unwrap();
    for gateway in [&two, &one, &two] {
        let again = gateway.append(&draft).await.unwrap();
        assert_eq!((again.pos, again.duplicate, again.time.clone()), (first.pos, true, first.time.clone()));
    }
    let other = message(1, draft.key, "another text");
    assert_eq!(two.append(&other).await, Err(AppendError::Conflict));
    assert_eq!(one.append(&other).await, Err(AppendError::Conflict));
    // Another sender's equal id is another message.
    assert!(!one.append(&message(2, draft.key, "hello")).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_commands_at_once_through_two_gateways_count_once_and_readers_agree() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let mut sockets = [one.listen(None).await, two.listen(None).await];
    let drafts: Vec<_> = (0..300).map(|i| message(1, Uuid::now_v7(), &i.to_string())).collect();
    let room = world.room();
    let sends = drafts.iter().flat_map(|draft| {
        [
            one.logs.append(&room, draft.clone()),
            two.logs.append(&room, draft.clone()),
            one.logs.append(&room, draft.clone()),
        ]
    });
    let answers: Vec<_> =
        futures::future::join_all(sends.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect();
    for copies in answers.chunks(3) {
        assert!(copies.iter().all(|copy| copy.pos == copies[0].pos), "{copies:?}");
        // Copies that two gateways hand over in one millisecond under one `after` are the same bytes: each may call its own the first.
        assert!(copies[0].duplicate || copies[2].duplicate, "{copies:?}");
    }
    for socket in &mut sockets {
        socket.until(300).await;
        socket.quiet().await;
        let mut texts: Vec<u32> = socket.texts().iter().map(|text| text.parse().unwrap()).collect();
        texts.sort_unstable();
        assert_eq!(texts, (0..300).collect::<Vec<_>>());
    }
    assert_eq!(sockets[0].seen, sockets[1].seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_on_two_gateways_are_seen_in_one_order_by_all() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let mut sockets = [one.listen(None).await, two.listen(None).await];
    let (a, b) = tokio::join!(
        one.say_many((0..2000).map(|i| format!("a{i}"))),
        two.say_many((0..2000).map(|i| format!("b{i}")))
    );
    for socket in &mut sockets {
        socket.until(4000).await;
    }
    assert_eq!(sockets[0].seen, sockets[1].seen);
    assert!(sockets[0].seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    for (prefix, appended) in [("a", a), ("b", b)] {
        let mine: Vec<u64> =
            sockets[0].seen.iter().filter(|(_, text)| text.starts_with(prefix)).map(|(pos, _)| *pos).collect();
        assert_eq!(mine, appended.iter().map(|one| one.pos).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_is_looked_up_when_memory_does_not_reach_back_to_it() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    // Ids of a time long past, as of a client that was offline; and the keys are stored long ago.
    let old = |number: u64| Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000 + number, 0));
    let draft = message(1, old(1), "old");
    let first = gateway.append(&draft).await.unwrap();
    gateway.say("later").await.unwrap();
    assert_eq!(world.store(&gateway, 100).await, 2);
    sqlx::query("update message_keys set stored_at = now() - interval '1 hour'")
        .execute(&world.fixture.pool)
        .await
        .unwrap();
    // A gateway that begins only now has neither read it nor loaded it.
    let fresh = world.gateway("g2");
    let again = fresh.append(&draft).await.unwrap();
    assert_eq!((again.pos, again.duplicate), (first.pos, true));
    assert_eq!(fresh.append(&message(1, draft.key, "other")).await, Err(AppendError::Conflict));
    // One that is absent is appended, with what was found out in `after`: no reader has to look it up again.
    let draft = message(1, old(2), "new");
    let new = fresh.append(&draft).await.unwrap();
    assert!(!new.duplicate && new.pos > first.pos);
    assert!(gateway.append(&draft).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_copy_of_a_key_that_was_forgotten_is_void_for_every_reader() {
    let world = World::new().await;
    let one = world.gateway("g1");
    let draft = message(1, Uuid::now_v7(), "once");
    let first = one.append(&draft).await.unwrap();
    one.say("between").await.unwrap();
    world.store(&one, 100).await;
    sqlx::query("update message_keys set stored_at = now() - interval '1 hour'")
        .execute(&world.fixture.pool)
        .await
        .unwrap();
    let two = world.gateway("g2");
    let mut sockets = [one.listen(Some(since(&first))).await, two.listen(Some(since(&first))).await];
    // A frozen gateway thaws and its copy arrives now, with what it knew then.
    one.publish_raw(first.epoch.as_str(), &draft, OffsetDateTime::now_utc()).await;
    let last = one.say("last").await.unwrap();
    for socket in &mut sockets {
        socket.until(2).await;
        assert_eq!(socket.texts(), ["between", "last"]);
        socket.quiet().await;
    }
    // The history decides alike.
    world.store(&one, 100).await;
    let stored: Vec<i64> =
        sqlx::query_scalar("select pos from events order by pos").fetch_all(&world.fixture.pool).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert_eq!(stored[2], i64::try_from(last.pos).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_stops_when_the_historian_falls_behind_and_goes_on_when_it_catches_up() {
    let world = World::new().await;
    let config = Config { behind_bytes: 20_000, poll: Duration::from_millis(200), ..Config::default() };
    let gateway = world.gateway_with("g1", &world.vhost.services_url, config);
    let text = "x".repeat(2_000);
    let mut sent = 0;
    let error = loop {
        match gateway.say(&text).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 20);
    };
    assert_eq!(error, AppendError::Unavailable("history_behind"));
    assert!(sent >= 6, "{sent}");
    assert_eq!(world.store(&gateway, 100).await, sent);
    gateway.insist(&message(1, Uuid::now_v7(), "again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_stops_at_half_of_what_the_log_keeps_and_the_class_may_change() {
    let world = World::new().await;
    // Half of three segments of 4 KiB.
    world.keeps(16_384, 0).await;
    sqlx::query("update logs set segment_bytes = 4096").execute(&world.fixture.pool).await.unwrap();
    let gateway = world.gateway("g1");
    let text = "x".repeat(1_000);
    let mut sent = 0;
    while gateway.say(&text).await != Err(AppendError::Unavailable("history_behind")) {
        sent += 1;
        assert!(sent < 12, "it goes on");
    }
    assert!(sent >= 3, "{sent}");
    world.keeps(1 << 30, 0).await;
    gateway.insist(&message(1, Uuid::now_v7(), &text)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_stops_at_half_of_the_age_that_the_log_keeps_also_on_a_gateway_that_has_just_begun() {
    let world = World::new().await;
    world.keeps(0, 7_200).await;
    let one = world.gateway("g1");
    let hours = |hours| OffsetDateTime::now_utc() - time::Duration::hours(hours);
    one.publish_raw("1-aaaaaa", &message(1, Uuid::now_v7(), "not stored"), hours(2)).await;
    one.publish_raw("1-aaaaaa", &message(1, Uuid::now_v7(), "not stored either"), hours(0)).await;
    let gateways = [one, world.gateway("g2")];
    for gateway in &gateways {
        let began = Instant::now();
        while gateway.say("more").await != Err(AppendError::Unavailable("history_behind")) {
            assert!(began.elapsed() < LIMIT);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(world.store(&gateways[0], 1).await, 1);
    for gateway in &gateways {
        gateway.insist(&message(1, Uuid::now_v7(), "all that is left is of this hour")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_not_there_is_not_found_and_one_without_a_log_is_unavailable() {
    let world = World::without_log().await;
    let gateway = world.gateway("g1");
    assert_eq!(gateway.say("x").await, Err(AppendError::Unavailable("log_changing")));
    // It opens once it has one.
    world.add_log("1-aaaaaa", "open").await;
    gateway.insist(&message(1, Uuid::now_v7(), "y")).await;
    sqlx::query("delete from rooms").execute(&world.fixture.pool).await.unwrap();
    let began = Instant::now();
    while gateway.say("z").await != Err(AppendError::NotFound) {
        assert!(began.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
