//! A virtual host and a database of the test's own, gateways on them, people who send and sockets that listen.

use crate::broker::{Broker, From, Publication, Published};
use crate::live::Live;
use crate::log::outlet::{Inlet, Outlet, Push, outlet};
use crate::log::{
    AppendError, Appended, Config, Cursor, Draft, Logs, RoomKey, Since, SubscribeError, Subscribed, hash,
};
use crate::store::append::{self, Segment, Stored};
use crate::store::logs::{self, LogRow};
use crate::testing::{Fixture, person};
use contract::event::{Body, Envelope, Event, Message};
use contract::names::{LIVE_EXCHANGE, ROOMS_EXCHANGE};
use contract::position::{Epoch, LogPosition};
use e2e::servers::TestVhost;
use serde_json::{Value, json};
use service::clock::rfc3339_ms;
use service::health::Check;
use service::shutdown::Shutdown;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) vhost: TestVhost,
}

impl World {
    /// With a room that has a log.
    pub(super) async fn new() -> Self {
        let world = Self::without_log().await;
        world.add_log("1-aaaaaa", "open").await;
        world
    }

    pub(super) async fn without_log() -> Self {
        let fixture = Fixture::new().await;
        let vhost = fixture.servers.vhost().await.unwrap();
        for exchange in [ROOMS_EXCHANGE, LIVE_EXCHANGE] {
            vhost.put(&vhost.path("exchanges", exchange), &json!({"type": "topic", "durable": true})).await.unwrap();
        }
        // What a log that replaces another is declared with.
        sqlx::query(r#"update rooms set spec = '{"replicas": 1, "segment_bytes": 16777216}'"#)
            .execute(&fixture.pool)
            .await
            .unwrap();
        Self { fixture, vhost }
    }

    pub(super) fn room(&self) -> RoomKey {
        self.fixture.room.clone()
    }

    /// The row, and the stream with its binding.
    pub(super) async fn add_log(&self, epoch: &str, state: &str) -> i64 {
        let id = self.fixture.log(epoch, state).await;
        self.declare(epoch, json!({"x-queue-type": "stream"})).await;
        id
    }

    pub(super) async fn declare(&self, epoch: &str, arguments: Value) {
        let epoch = epoch.parse().unwrap();
        let stream = contract::names::log_stream("standard", &self.room().name, &epoch);
        let queue = json!({"durable": true, "arguments": arguments});
        self.vhost.put(&self.vhost.path("queues", &stream), &queue).await.unwrap();
        let body = json!({"routing_key": contract::names::log_key(&self.room().name, &epoch)});
        let path = format!("/api/bindings/{}/e/{ROOMS_EXCHANGE}/q/{stream}", self.vhost.name);
        let address = format!("{}{path}", self.vhost.management_url);
        let answer = e2e::http::client().unwrap().post(address).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// What the room's class says that a log keeps.
    pub(super) async fn keeps(&self, bytes: i64, seconds: i64) {
        let keeps = json!({"log_bytes": bytes, "log_seconds": seconds});
        sqlx::query("update rooms set spec = spec || $1").bind(keeps).execute(&self.fixture.pool).await.unwrap();
    }

    pub(super) async fn delete_stream(&self, epoch: &str) {
        let stream = contract::names::log_stream("standard", &self.room().name, &epoch.parse().unwrap());
        self.vhost.delete(&self.vhost.path("queues", &stream)).await.unwrap();
    }

    pub(super) fn gateway(&self, name: &str) -> Gateway {
        self.gateway_with(
            name,
            &self.vhost.services_url,
            Config { poll: Duration::from_millis(300), ..Config::default() },
        )
    }

    pub(super) fn gateway_with(&self, name: &str, amqp_url: &str, config: Config) -> Gateway {
        self.gateway_on(name, amqp_url, self.fixture.pool.clone(), config)
    }

    pub(super) fn gateway_on(&self, name: &str, amqp_url: &str, pool: sqlx::PgPool, config: Config) -> Gateway {
        let shutdown = Shutdown::new();
        let broker = Broker::start(vec![amqp_url.to_owned()], Check::detached("broker"), &shutdown);
        let live = Live::start(&broker, name);
        let logs = Logs::start_with(pool, broker.clone(), live.clone(), name, &shutdown, config);
        Gateway { logs, broker, live, room: self.room() }
    }

    pub(super) async fn row(&self) -> LogRow {
        logs::current(&self.fixture.pool, &[self.room().id]).await.unwrap().remove(0).log.unwrap()
    }

    /// Stores, as a historian does, at most `most` messages that follow on what is stored: at least all that the gateway has read.
    pub(super) async fn store(&self, gateway: &Gateway, most: usize) -> usize {
        let row = self.row().await;
        let read = gateway.logs.applied(self.room().id).filter(|(epoch, _)| *epoch == row.epoch);
        let read =
            read.and_then(|(_, pos)| contract::position::offset(pos)).map_or(-1, |off| i64::try_from(off).unwrap());
        self.store_until(&gateway.broker, row, most, read, Duration::from_millis(300)).await
    }

    /// The same of what comes as long as nothing takes longer than `quiet`.
    pub(super) async fn store_from(&self, broker: &Broker, most: usize, quiet: Duration) -> usize {
        let row = self.row().await;
        self.store_until(broker, row, most, -1, quiet).await
    }

    async fn store_until(&self, broker: &Broker, row: LogRow, most: usize, read: i64, quiet: Duration) -> usize {
        let from = From::Offset(u64::try_from(row.off).unwrap_or(0));
        let Ok(mut consumer) = broker.consume(&row.stream, from, 100).await else { return 1 };
        let mut last = row.off;
        let mut deliveries = Vec::new();
        while deliveries.len() < most {
            let limit = if last < read { LIMIT } else { quiet };
            // What was left out is stored the next time.
            let Ok(Ok(delivery)) = timeout(limit, consumer.next()).await else { break };
            last = i64::try_from(delivery.offset).unwrap();
            if last > row.off {
                deliveries.push(delivery);
            }
        }
        let count = deliveries.len();
        if count > 0 {
            let segment = Segment { log: row.id, room: self.room(), epoch: row.epoch, old_off: row.off, deliveries };
            assert_eq!(append::append(&self.fixture.pool, &[segment]).await.unwrap(), [Stored::Done]);
        }
        count
    }

    /// Waits until the room's log has so many consumers.
    pub(super) async fn consumers(&self, expected: usize) {
        let mut count = 0;
        for _ in 0..150 {
            let path = format!("/api/consumers/{}", self.vhost.name);
            let all = self.vhost.get(&path).await.unwrap().unwrap_or_default();
            let of_log =
                |one: &&Value| one["queue"]["name"].as_str().is_some_and(|name| name.starts_with("parlor.log."));
            count = all.as_array().unwrap().iter().filter(of_log).count();
            if count == expected {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{count} consumers instead of {expected}");
    }

    /// Ends every connection of the virtual host that the broker knows of, at least `least`.
    pub(super) async fn kill_connections(&self, least: usize) {
        for _ in 0..100 {
            let path = format!("/api/vhosts/{}/connections", self.vhost.name);
            let all = self.vhost.get(&path).await.unwrap().unwrap_or_default();
            let names: Vec<&str> = all.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
            if names.len() >= least {
                for name in names {
                    let name = name.replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
                    self.vhost.delete(&format!("/api/connections/{name}")).await.ok();
                }
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the broker does not know {least} connections");
    }
}

/// One of the processes that people connect to.
pub(super) struct Gateway {
    pub(super) logs: Logs,
    pub(super) broker: Broker,
    pub(super) live: Live,
    room: RoomKey,
}

impl Gateway {
    pub(super) async fn say(&self, text: &str) -> Result<Appended, AppendError> {
        self.logs.append(&self.room, message(1, Uuid::now_v7(), text)).await
    }

    pub(super) async fn append(&self, draft: &Draft) -> Result<Appended, AppendError> {
        self.logs.append(&self.room, draft.clone()).await
    }

    /// As a client does: again under the same id while the answer is a temporary error.
    pub(super) async fn insist(&self, draft: &Draft) -> Appended {
        for _ in 0..1_200 {
            match self.append(draft).await {
                Ok(appended) => return appended,
                Err(AppendError::Unavailable(_)) => sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("it never became available");
    }

    /// As a gateway does that knows nothing of what stands in the log: published at `time`, confirmed, not decided.
    pub(super) async fn publish_raw(&self, epoch: &str, draft: &Draft, time: OffsetDateTime) {
        let event = Event {
            key: draft.key,
            hash: draft.hash.clone(),
            after: LogPosition::START,
            sender: draft.sender.clone(),
            time: rfc3339_ms(time).into(),
            body: draft.body.clone(),
        };
        let epoch: Epoch = epoch.parse().unwrap();
        let publication = Publication {
            exchange: ROOMS_EXCHANGE,
            key: contract::names::log_key(&self.room.name, &epoch),
            log: Some((self.room.id, epoch)),
            mandatory: true,
            body: Envelope::join(&[event.encode().unwrap()]),
        };
        assert_eq!(self.broker.publish(publication).await, Published::Confirmed);
    }

    /// Says many things at once; all must be taken.
    pub(super) async fn say_many(&self, texts: impl Iterator<Item = String>) -> Vec<Appended> {
        let all: Vec<_> = texts.map(|text| self.logs.append(&self.room, message(1, Uuid::now_v7(), &text))).collect();
        futures::future::join_all(all).await.into_iter().map(Result::unwrap).collect()
    }

    pub(super) async fn listen(&self, since: Option<Since>) -> Socket {
        self.listen_with(since, 64 * 1024 * 1024).await
    }

    pub(super) async fn listen_with(&self, since: Option<Since>, bytes: usize) -> Socket {
        let (outlet, inlet) = outlet(bytes);
        let subscribed = self.logs.subscribe(&self.room, since, &outlet).await.unwrap();
        Socket::new(subscribed, outlet, inlet)
    }

    /// `None`: not now.
    pub(super) async fn try_listen(&self, since: Since, bytes: usize) -> Option<Socket> {
        let (outlet, inlet) = outlet(bytes);
        let subscribed = self.logs.subscribe(&self.room, Some(since), &outlet).await.ok()?;
        Some(Socket::new(subscribed, outlet, inlet))
    }

    pub(super) async fn subscribe(&self, since: Option<Since>) -> Result<Subscribed, SubscribeError> {
        self.logs.subscribe(&self.room, since, &outlet(1 << 20).0).await
    }
}

pub(super) fn message(sender: u8, id: Uuid, text: &str) -> Draft {
    let message = Message { id, text: text.into(), reply_to: None, reply_to_author: None, attachments: vec![] };
    draft(sender, id, Body::Message { message })
}

pub(super) fn draft(sender: u8, key: Uuid, body: Body) -> Draft {
    Draft { sender: (sender > 0).then(|| person(sender)), key, hash: hash(&body), body, after: None }
}

pub(super) fn since(appended: &Appended) -> Since {
    Since { epoch: appended.epoch.clone(), pos: appended.pos }
}

/// What a socket saw of a room, in order.
pub(super) struct Socket {
    pub(super) recovered: bool,
    pub(super) pos: u64,
    pub(super) more: bool,
    /// Position and text.
    pub(super) seen: Vec<(u64, String)>,
    inlet: Inlet,
    _outlet: Outlet,
    cursor: Cursor,
}

impl Socket {
    fn new(subscribed: Subscribed, outlet: Outlet, inlet: Inlet) -> Self {
        let Subscribed { cursor, pos, recovered, events, more, .. } = subscribed;
        let mut socket = Self { recovered, pos, more, seen: Vec::new(), inlet, _outlet: outlet, cursor };
        socket.take(&events);
        socket
    }

    fn take(&mut self, frames: &[std::sync::Arc<crate::log::frame::Frame>]) {
        for frame in frames {
            let event: Value = serde_json::from_slice(&frame.event()).unwrap();
            assert_eq!(event["pos"].as_u64().unwrap(), frame.at.pos);
            let text = event["message"]["text"].as_str().unwrap_or(event["type"].as_str().unwrap());
            self.seen.push((frame.at.pos, text.to_owned()));
        }
    }

    /// Pulls until it is live.
    pub(super) async fn catch_up(&mut self, gateway: &Gateway) {
        while self.more {
            self.pull(gateway).await.unwrap();
        }
    }

    /// Another page.
    pub(super) async fn pull(&mut self, gateway: &Gateway) -> Result<(), SubscribeError> {
        let pulled = gateway.logs.pull(&self.cursor).await?;
        self.take(&pulled.frames);
        self.more = !pulled.live;
        Ok(())
    }

    /// The next push, events taken as seen.
    pub(super) async fn next(&mut self) -> Option<Push> {
        let push = timeout(LIMIT, self.inlet.next()).await.expect("nothing was pushed")?;
        match push {
            Push::Event { cursor, frame } => {
                assert_eq!(cursor, self.cursor.id());
                self.take(&[frame]);
                None
            }
            other => Some(other),
        }
    }

    /// Listens until so many events were seen.
    pub(super) async fn until(&mut self, count: usize) {
        while self.seen.len() < count {
            let push = self.next().await;
            assert!(push.is_none(), "{push:?}");
        }
    }

    /// Nothing more comes within a while.
    pub(super) async fn quiet(&mut self) {
        sleep(Duration::from_millis(300)).await;
        let more = self.inlet.try_next();
        assert!(more.is_none(), "{more:?}");
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.seen.iter().map(|(_, text)| text.as_str()).collect()
    }
}
