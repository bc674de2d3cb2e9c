//! Subscriptions: exactly what follows on a position, from wherever it is to be had.

use super::kit::{LIMIT, Socket, World, since};
use crate::log::outlet::Push;
use crate::log::{Appended, Config, LogPosition, Since, SubscribeError};
use contract::position::index;
use e2e::proxy::{Direction, Flow, Proxy, Seen};
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};

fn small() -> Config {
    Config {
        ring_bytes: 30_000,
        page_events: 37,
        page_bytes: 9_000,
        poll: Duration::from_millis(200),
        ..Config::default()
    }
}

fn after(appended: &[Appended], at: &Appended) -> Vec<u64> {
    appended.iter().map(|one| one.pos).filter(|pos| *pos > at.pos).collect()
}

fn positions(socket: &Socket) -> Vec<u64> {
    socket.seen.iter().map(|(pos, _)| *pos).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_position_one_is_live_from_now_on() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let before = gateway.say("before").await.unwrap();
    let mut socket = gateway.listen(None).await;
    assert_eq!((socket.recovered, socket.pos, socket.more), (false, before.pos, false));
    gateway.say("after").await.unwrap();
    socket.until(1).await;
    assert_eq!(socket.texts(), ["after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_resumes_from_within_a_message_of_many_events() {
    let world = World::new().await;
    let gateway = world.gateway("g1");
    let appended = gateway.say_many((0..1500).map(|i| i.to_string())).await;
    let within: Vec<_> = appended.iter().filter(|one| index(one.pos) > 3).step_by(97).collect();
    assert!(within.len() > 3);
    for at in within {
        let mut socket = gateway.listen(Some(since(at))).await;
        assert!(socket.recovered);
        socket.catch_up(&gateway).await;
        assert_eq!(positions(&socket), after(&appended, at));
        socket.quiet().await;
    }
    // An index that no event has is a position like any other.
    let last = appended.last().unwrap();
    let beyond = Since { epoch: last.epoch.clone(), pos: last.pos + 1 };
    let socket = gateway.listen(Some(beyond)).await;
    assert!(socket.recovered && socket.seen.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ring_database_and_what_is_not_stored_yet_together_give_exactly_what_follows_under_load() {
    let world = World::new().await;
    let gateway = world.gateway_with("g1", &world.vhost.services_url, small());
    let other = world.gateway_with("g2", &world.vhost.services_url, small());
    let mut appended = Vec::new();
    // In small pieces, so that there are many messages; some stored, some not.
    for round in 0..40 {
        appended.extend(gateway.say_many((0..15).map(|i| format!("{round} {i}"))).await);
    }
    assert!(world.store(&gateway, 12).await == 12);
    let load = async {
        let mut more = Vec::new();
        for round in 0..60 {
            more.extend(other.say_many((0..10).map(|i| format!("more {round} {i}"))).await);
        }
        more
    };
    let resumes = async {
        let mut sockets = Vec::new();
        for at in appended.iter().step_by(61) {
            let mut socket = gateway.listen(Some(since(at))).await;
            assert!(socket.recovered);
            socket.catch_up(&gateway).await;
            sockets.push((at.clone(), socket));
        }
        sockets
    };
    let (more, sockets) = tokio::join!(load, resumes);
    appended.extend(more);
    for (at, mut socket) in sockets {
        let expected = after(&appended, &at);
        socket.until(expected.len()).await;
        assert_eq!(positions(&socket), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_begins_now_replays_what_was_stored_before_it_read_anything() {
    let world = World::new().await;
    let one = world.gateway("g1");
    let mut appended = Vec::new();
    for _ in 0..30 {
        appended.extend(one.say_many((0..40).map(|i| i.to_string())).await);
    }
    world.store(&one, 1000).await;
    let two = world.gateway_with("g2", &world.vhost.services_url, small());
    for at in appended.iter().step_by(211) {
        let mut socket = two.listen(Some(since(at))).await;
        assert!(socket.recovered);
        socket.catch_up(&two).await;
        assert_eq!(positions(&socket), after(&appended, at));
    }
    let from_start = Since { epoch: appended[0].epoch.clone(), pos: 0 };
    let mut socket = two.listen(Some(from_start)).await;
    socket.catch_up(&two).await;
    assert_eq!(socket.seen.len(), appended.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgresql_down_the_stream_itself_is_read() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.fixture.database.url).await.unwrap();
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(2))
        .connect(&proxy.url(&world.fixture.database.url))
        .await
        .unwrap();
    // What memory holds only up to the stored position is enough: nothing was trimmed.
    let gateway = world.gateway_on("g1", &world.vhost.services_url, pool, small());
    let mut appended = Vec::new();
    for round in 0..40 {
        appended.extend(gateway.say_many((0..15).map(|i| format!("{round} {i}"))).await);
    }
    world.store(&gateway, 1000).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    proxy.set(Direction::ToClient, Flow::Hold);
    for at in appended.iter().step_by(211) {
        let mut socket = gateway.listen(Some(since(at))).await;
        socket.catch_up(&gateway).await;
        assert_eq!(positions(&socket), after(&appended, at));
    }
    // A room that runs goes on.
    assert!(gateway.say("still").await.is_ok());
    proxy.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_of_another_epoch_too_far_back_or_past_the_end_are_not_pretended_to_be_recovered() {
    let world = World::new().await;
    let config = Config { replay_offsets: 5, ..small() };
    let gateway = world.gateway_with("g1", &world.vhost.services_url, config);
    let first = gateway.say("0").await.unwrap();
    for i in 1..8 {
        gateway.say(&i.to_string()).await.unwrap();
    }
    let last = gateway.say("last").await.unwrap();
    let other = Since { epoch: "1-bbbbbb".parse().unwrap(), pos: first.pos };
    assert!(!gateway.listen(Some(other)).await.recovered);
    assert!(!gateway.listen(Some(since(&first))).await.recovered);
    let began = Instant::now();
    let past = Since { epoch: last.epoch.clone(), pos: last.pos + 5 * 1024 };
    let socket = gateway.listen(Some(past)).await;
    assert_eq!((socket.recovered, socket.pos), (false, last.pos));
    assert!(began.elapsed() >= Duration::from_secs(2));
    // A later log than this gateway has heard of, and the row neither.
    let later = Since { epoch: "2-bbbbbb".parse().unwrap(), pos: 1024 };
    let began = Instant::now();
    let socket = gateway.listen(Some(later)).await;
    assert_eq!((socket.recovered, socket.pos), (false, last.pos));
    assert!(began.elapsed() >= Duration::from_secs(2) && began.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_behind_its_client_waits_and_then_says_so() {
    let world = World::new().await;
    let proxy = Proxy::amqp(&world.vhost.services_url).await.unwrap();
    let (fast, slow) = (world.gateway("g1"), world.gateway_with("g2", &proxy.url(&world.vhost.services_url), small()));
    slow.say("both").await.unwrap();
    proxy.set_where(Direction::ToClient, Flow::Hold, Seen::reads_logs);
    let ahead = fast.say("only one").await.unwrap();
    // Its own look at the end of the log is held up as well: it can say nothing but that it is behind.
    assert_eq!(slow.subscribe(Some(since(&ahead))).await.unwrap_err(), SubscribeError::Behind);
    let waiting = slow.listen(Some(since(&ahead)));
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.release();
    };
    let (socket, ()) = tokio::join!(waiting, releasing);
    assert!(socket.recovered && socket.seen.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_does_not_keep_up_lags_alone_and_comes_back_exactly() {
    let world = World::new().await;
    let gateway = world.gateway_with("g1", &world.vhost.services_url, small());
    let first = gateway.say("first").await.unwrap();
    let mut slow = gateway.listen_with(Some(since(&first)), 4_000).await;
    let mut quick = gateway.listen(Some(since(&first))).await;
    let mut appended = Vec::new();
    for _ in 0..20 {
        appended.extend(gateway.say_many((0..10).map(|i| i.to_string())).await);
    }
    quick.until(200).await;
    let lagged = loop {
        if let Some(push) = slow.next().await {
            break push;
        }
    };
    let Push::Lagged { from, to, epoch, .. } = lagged else { panic!("{lagged:?}") };
    assert!(!slow.seen.is_empty() && slow.seen.len() < 100);
    assert_eq!(to, appended.last().unwrap().pos);
    slow.quiet().await;
    let mut again = gateway.listen(Some(Since { epoch, pos: from - 1 })).await;
    again.catch_up(&gateway).await;
    let mut all = positions(&slow);
    all.extend(positions(&again));
    assert_eq!(all, after(&appended, &first));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_history_get_what_is_not_stored_and_a_position_can_be_waited_for() {
    let world = World::new().await;
    let (one, two) = (world.gateway("g1"), world.gateway("g2"));
    let room = world.room();
    assert!(two.logs.beyond(&room, LogPosition::START, false).await.unwrap().is_none());
    assert_eq!(two.logs.applied(room.id), None);
    let mut appended = one.say_many((0..10).map(|i| i.to_string())).await;
    let last = one.say("last").await.unwrap();
    appended.push(last.clone());
    two.logs.reach(&room, &since(&last), LIMIT).await.unwrap();
    assert_eq!(two.logs.applied(room.id), Some((last.epoch.clone(), last.pos)));
    let stored = LogPosition::new(1, appended[3].pos);
    let beyond = two.logs.beyond(&room, stored, false).await.unwrap().unwrap();
    let got: Vec<u64> = beyond.frames.iter().map(|frame| frame.at.pos).collect();
    assert_eq!((got, beyond.applied), (after(&appended, &appended[3]), last.pos));
    let never = Since { epoch: last.epoch.clone(), pos: last.pos + 1024 };
    assert_eq!(two.logs.reach(&room, &never, Duration::from_millis(200)).await, Err(SubscribeError::Behind));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_nobody_uses_leaves_nothing_behind() {
    let world = World::new().await;
    let config = Config { linger: Duration::from_millis(500), ..small() };
    let gateway = world.gateway_with("g1", &world.vhost.services_url, config);
    let socket = gateway.listen(None).await;
    gateway.say("x").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // Somebody listens: it stays.
    assert!(gateway.logs.applied(world.room().id).is_some());
    world.consumers(1).await;
    drop(socket);
    world.consumers(0).await;
    assert_eq!(gateway.logs.applied(world.room().id), None);
    // And comes back when it is asked for.
    assert!(gateway.say("again").await.is_ok());
}
