//! All at once, by chance: connections cut, held and ended, a historian at work, memory that forgets at once, senders that repeat
//! themselves through either gateway, sockets that leave and come back. In the end everybody has the same.

use super::kit::{Gateway, Socket, World, message};
use crate::broker::Broker;
use crate::log::outlet::Push;
use crate::log::{Appended, Config, Draft, Since, SubscribeError};
use e2e::proxy::{Direction, Flow, Proxy, Seen};
use rand::RngExt as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const RUN: Duration = Duration::from_secs(15);

fn tight() -> Config {
    Config {
        ring_bytes: 15_000,
        keys: 20,
        page_events: 23,
        page_bytes: 6_000,
        prefetch: 8,
        poll: Duration::from_millis(100),
        ..Config::default()
    }
}

fn chance(percent: u32) -> bool {
    rand::rng().random_range(0..100) < percent
}

async fn pause(most_ms: u64) {
    let ms = rand::rng().random_range(0..most_ms);
    sleep(Duration::from_millis(ms)).await;
}

/// Sends until the time is over; each message until it is taken, some of them again.
async fn sender(gateways: [Arc<Gateway>; 2], name: u8, end: Instant) -> Vec<(Draft, Appended)> {
    let mut sent: Vec<(Draft, Appended)> = Vec::new();
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        // Some ids are old, so that they have to be looked up.
        let id = if chance(30) {
            let seconds = 1_700_000_000 + u64::from(rand::random::<u16>());
            Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, rand::random::<u32>() % 1_000_000_000))
        } else {
            Uuid::now_v7()
        };
        let draft = message(name, id, &format!("{name}-{number}"));
        let appended = insist(&gateways, &draft).await;
        sent.push((draft, appended));
        if chance(20) {
            let (draft, first) = &sent[rand::rng().random_range(0..sent.len())];
            let again = insist(&gateways, draft).await;
            assert_eq!((again.pos, again.duplicate), (first.pos, true), "{draft:?}");
        }
        if chance(50) {
            pause(20).await;
        }
    }
    sent
}

async fn insist(gateways: &[Arc<Gateway>; 2], draft: &Draft) -> Appended {
    loop {
        // Through either, and not always through the same again.
        let gateway = &gateways[usize::from(chance(50))];
        match gateway.append(draft).await {
            Ok(appended) => return appended,
            Err(crate::log::AppendError::Unavailable(_)) => pause(60).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Listens, leaves, comes back with the last position, lags and comes back.
async fn listener(
    gateways: [Arc<Gateway>; 2],
    stop: Arc<AtomicBool>,
    last: Arc<tokio::sync::watch::Sender<u64>>,
) -> Vec<(u64, String)> {
    let mut seen: Vec<(u64, String)> = Vec::new();
    let epoch = "1-aaaaaa".parse::<contract::position::Epoch>().unwrap();
    loop {
        let gateway = &gateways[usize::from(chance(50))];
        let since = Since { epoch: epoch.clone(), pos: seen.last().map_or(0, |(pos, _)| *pos) };
        let Some(mut socket) = gateway.try_listen(since, if chance(30) { 5_000 } else { 1 << 24 }).await else {
            pause(100).await;
            continue;
        };
        assert!(socket.recovered);
        let leaves = Instant::now() + Duration::from_millis(rand::rng().random_range(50..3_000));
        follow(&mut socket, gateway, leaves, &stop, &last).await;
        for (pos, text) in socket.seen {
            assert!(seen.last().is_none_or(|(before, _)| *before < pos), "{pos} after {:?}", seen.last());
            seen.push((pos, text));
        }
        if stop.load(Ordering::SeqCst) && seen.last().is_some_and(|(pos, _)| *pos >= *last.borrow()) {
            return seen;
        }
    }
}

async fn follow(
    socket: &mut Socket,
    gateway: &Gateway,
    leaves: Instant,
    stop: &AtomicBool,
    last: &tokio::sync::watch::Sender<u64>,
) {
    while socket.more {
        match socket.pull(gateway).await {
            Ok(()) => {}
            Err(SubscribeError::Unavailable(_)) => pause(50).await,
            Err(_) => return,
        }
    }
    while Instant::now() < leaves {
        match timeout(Duration::from_millis(50), socket.next()).await {
            Ok(None) | Err(_) => {}
            Ok(Some(Push::Lagged { .. })) => return,
            Ok(Some(push)) => panic!("{push:?}"),
        }
        if stop.load(Ordering::SeqCst) && socket.seen.last().is_some_and(|(pos, _)| *pos >= *last.borrow()) {
            return;
        }
    }
}

async fn trouble(world: &World, proxies: &[Proxy; 2], end: Instant) {
    while Instant::now() < end {
        pause(1_500).await;
        let proxy = &proxies[usize::from(chance(50))];
        match rand::rng().random_range(0..6) {
            0 => {
                proxy.cut_where(|_| true);
            }
            1 => {
                proxy.cut_where(Seen::reads_logs);
            }
            2 => {
                proxy.cut_where(Seen::writes_logs);
            }
            3 => {
                proxy.set_where(Direction::ToClient, Flow::Hold, |_| true);
                pause(1_500).await;
                proxy.release();
            }
            4 => {
                proxy.set_where(Direction::ToServer, Flow::Hold, |_| true);
                pause(1_500).await;
                proxy.release();
            }
            _ => world.kill_connections(1).await,
        }
    }
    for proxy in proxies {
        proxy.release();
    }
}

/// Stores in pieces; what it stored is old at once, so that nothing is loaded and much is looked up.
async fn historian(world: &World, broker: &Broker, stop: &AtomicBool, last: &tokio::sync::watch::Sender<u64>) {
    while !stop.load(Ordering::SeqCst) {
        world.store_from(broker, 200, Duration::from_millis(30)).await;
        sqlx::query("update message_keys set stored_at = stored_at - interval '1 hour' where stored_at > now() - interval '1 minute'")
            .execute(&world.fixture.pool)
            .await
            .unwrap();
        pause(400).await;
    }
    let end = Instant::now() + Duration::from_mins(1);
    while world.row().await.pos < *last.borrow() {
        assert!(Instant::now() < end, "the historian never reached the end");
        world.store_from(broker, 10_000, Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_nothing_acknowledged_is_lost_nothing_counts_twice_and_all_agree() {
    let world = World::new().await;
    let proxies =
        [Proxy::amqp(&world.vhost.services_url).await.unwrap(), Proxy::amqp(&world.vhost.services_url).await.unwrap()];
    let gateway =
        |name: &str, proxy: &Proxy| Arc::new(world.gateway_with(name, &proxy.url(&world.vhost.services_url), tight()));
    let gateways = [gateway("g1", &proxies[0]), gateway("g2", &proxies[1])];
    let direct = world.gateway("direct");
    let end = Instant::now() + RUN;
    let stop = Arc::new(AtomicBool::new(false));
    let last = Arc::new(tokio::sync::watch::Sender::new(u64::MAX));
    let listeners: Vec<_> =
        (0..4).map(|_| tokio::spawn(listener(gateways.clone(), stop.clone(), last.clone()))).collect();
    let senders: Vec<_> = (1..=6).map(|name| tokio::spawn(sender(gateways.clone(), name, end))).collect();
    let ending = async {
        trouble(&world, &proxies, end).await;
        let mut sent = Vec::new();
        for sender in senders {
            sent.extend(timeout(Duration::from_secs(90), sender).await.expect("a sender never ended").unwrap());
        }
        let final_one = insist(&gateways, &message(1, Uuid::now_v7(), "end")).await;
        last.send_replace(final_one.pos);
        stop.store(true, Ordering::SeqCst);
        sent
    };
    let (sent, ()) = tokio::join!(ending, historian(&world, &direct.broker, &stop, &last));
    let mut views = Vec::new();
    for listener in listeners {
        views.push(timeout(Duration::from_mins(1), listener).await.expect("a listener never ended").unwrap());
    }
    let stored: Vec<(i64, String)> =
        sqlx::query_as("select pos, text from messages order by pos").fetch_all(&world.fixture.pool).await.unwrap();
    let stored: BTreeMap<u64, String> =
        stored.into_iter().map(|(pos, text)| (u64::try_from(pos).unwrap(), text)).collect();
    assert!(sent.len() > 60, "only {} were sent", sent.len());
    for (draft, appended) in &sent {
        assert!(stored.contains_key(&appended.pos), "{draft:?} at {} is lost", appended.pos);
    }
    assert_eq!(stored.len(), sent.len() + 1);
    for view in views {
        assert_eq!(view.len(), stored.len());
        assert_eq!(view.into_iter().collect::<BTreeMap<_, _>>(), stored);
    }
}
