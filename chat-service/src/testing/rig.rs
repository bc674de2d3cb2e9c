//! A database and a virtual host of this test's own, with exchanges and logs as the operator declares them.

use super::Fixture;
use crate::broker::Broker;
use crate::log::RoomKey;
use contract::event::Event;
use contract::names::{EPOCH_HEADER, EVENTS_EXCHANGE, LIVE_EXCHANGE, ROOM_HEADER, ROOMS_EXCHANGE, log_key, log_stream};
use contract::position::Epoch;
use e2e::servers::TestVhost;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use service::health::Health;
use service::shutdown::Shutdown;
use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) struct Rig {
    pub(crate) fixture: Fixture,
    pub(crate) vhost: TestVhost,
    /// The administrator's.
    pub(crate) channel: Channel,
    _connection: Connection,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let vhost = fixture.servers.vhost().await.unwrap();
        let connection = Connection::connect(&vhost.admin_url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for exchange in [ROOMS_EXCHANGE, EVENTS_EXCHANGE, LIVE_EXCHANGE] {
            let declared =
                channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default());
            declared.await.unwrap();
        }
        Self { fixture, vhost, channel, _connection: connection }
    }

    /// chat-service's connections, here or through a proxy.
    pub(crate) fn broker(url: &str) -> Broker {
        Broker::start(vec![url.to_owned()], Health::new().check("broker"), &Shutdown::new())
    }

    /// A room with its first log, open.
    pub(crate) async fn room(&self, name: &str) -> (RoomKey, i64) {
        let room = super::room(&self.fixture.pool, name).await;
        let log = self.log(&room, "1-aaaaaa", "open", &[]).await;
        (room, log)
    }

    /// A log with its row and its stream.
    pub(crate) async fn log(&self, room: &RoomKey, epoch: &str, state: &str, arguments: &[(&str, i64)]) -> i64 {
        let epoch: Epoch = epoch.parse().unwrap();
        let stream = log_stream("standard", &room.name, &epoch);
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        for (name, value) in arguments {
            table.insert((*name).into(), AMQPValue::LongLongInt(*value));
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(stream.as_str().into(), durable, table).await.unwrap();
        let key = log_key(&room.name, &epoch);
        let bind = QueueBindOptions::default();
        self.channel
            .queue_bind(stream.as_str().into(), ROOMS_EXCHANGE.into(), key.as_str().into(), bind, FieldTable::default())
            .await
            .unwrap();
        super::log(&self.fixture.pool, room, epoch.as_str(), state).await
    }

    /// One AMQP message with these events; resolves once it is confirmed.
    pub(crate) async fn publish(&self, room: &RoomKey, epoch: &str, events: &[Event]) {
        self.publish_body(room, epoch, &super::body(events)).await;
    }

    pub(crate) async fn publish_body(&self, room: &RoomKey, epoch: &str, body: &[u8]) {
        let mut headers = FieldTable::default();
        headers.insert(ROOM_HEADER.into(), AMQPValue::LongString(room.id.to_string().into()));
        headers.insert(EPOCH_HEADER.into(), AMQPValue::LongString(epoch.into()));
        let key = log_key(&room.name, &epoch.parse().unwrap());
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let confirm = self.channel.basic_publish(ROOMS_EXCHANGE.into(), key.as_str().into(), options, body, properties);
        confirm.await.unwrap().await.unwrap();
    }

    /// The texts of the room's messages in order.
    pub(crate) async fn texts(&self, room: &RoomKey) -> Vec<String> {
        sqlx::query_scalar("select text from messages where room = $1 order by ordinal, pos")
            .bind(room.id)
            .fetch_all(&self.fixture.pool)
            .await
            .unwrap()
    }

    /// Waits until the room has so many messages, and answers their texts.
    pub(crate) async fn texts_once(&self, room: &RoomKey, count: usize) -> Vec<String> {
        eventually(&format!("{count} messages"), Duration::from_secs(30), async || {
            let texts = self.texts(room).await;
            (texts.len() >= count).then_some(texts)
        })
        .await
    }
}

/// Tries until it gives something; too late is a failure that says what was missing.
pub(crate) async fn eventually<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
