//! A room's log as the broker has it: read and written behind the programs' backs, as an administrator could.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use contract::event::{Envelope, Event};
use contract::names::{EPOCH_HEADER, EVENTS_EXCHANGE, ROOM_HEADER, ROOMS_EXCHANGE};
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

use crate::http;
use crate::rig::LogRow;

/// A stream that says nothing for so long has been read to its end.
const END: Duration = Duration::from_secs(1);
/// Durable.
const PERSISTENT: u8 = 2;

/// A connection of the administrator.
pub struct RawLog {
    connection: Connection,
    channel: Channel,
}

/// What `parlor.events` delivers to a queue of the test's own.
pub struct Feed {
    consumer: lapin::Consumer,
    _channel: Channel,
}

impl Feed {
    /// The next event; `None` after `limit`.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Value>> {
        let Ok(next) = tokio::time::timeout(limit, self.consumer.next()).await else { return Ok(None) };
        let delivery = next.context("the feed ended")??;
        Ok(Some(serde_json::from_slice(&delivery.data).context("an event of the feed is no JSON")?))
    }
}

/// One AMQP message of a log.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// In the stream.
    pub offset: u64,
    /// As it is.
    pub body: Vec<u8>,
}

impl RawMessage {
    /// The events in it, if it is an envelope.
    pub fn events(&self) -> Result<Vec<Event>> {
        Ok(Envelope::decode(&self.body)?.events)
    }
}

impl RawLog {
    /// With the administrator's address of a virtual host.
    pub async fn connect(url: &str) -> Result<Self> {
        http::install_tls();
        let connection =
            Connection::connect(url, ConnectionProperties::default()).await.context("failed to connect")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Appends a body to this log, and waits for the confirm.
    pub async fn publish(&self, log: &LogRow, body: &[u8]) -> Result<()> {
        let mut headers = FieldTable::default();
        headers.insert(ROOM_HEADER.into(), AMQPValue::LongString(log.room.as_str().into()));
        headers.insert(EPOCH_HEADER.into(), AMQPValue::LongString(log.epoch.as_str().into()));
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let key = log.routing_key.as_str().into();
        let confirm = self.channel.basic_publish(ROOMS_EXCHANGE.into(), key, options, body, properties).await?.await?;
        match confirm {
            Confirmation::Ack(None) => Ok(()),
            other => bail!("the broker did not take it: {other:?}"),
        }
    }

    /// From now on everything of `parlor.events` with a key like this.
    pub async fn feed(&self, pattern: &str) -> Result<Feed> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
        let (name, none) = (queue.name().clone(), FieldTable::default());
        let bind = QueueBindOptions::default();
        channel.queue_bind(name.clone(), EVENTS_EXCHANGE.into(), pattern.into(), bind, none.clone()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer = channel.basic_consume(name, "".into(), options, none).await?;
        Ok(Feed { consumer, _channel: channel })
    }

    /// Everything that the stream still has.
    pub async fn read(&self, stream: &str) -> Result<Vec<RawMessage>> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(200, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume(stream.into(), "".into(), options, arguments).await?;
        let mut messages = Vec::new();
        while let Ok(Some(delivery)) = tokio::time::timeout(END, consumer.next()).await {
            let delivery = delivery?;
            delivery.acker.ack(BasicAckOptions::default()).await?;
            let headers = delivery.properties.headers().as_ref().context("a message of a stream has headers")?;
            let offset = match headers.inner().get("x-stream-offset") {
                Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset)?,
                other => bail!("an offset of an unknown kind: {other:?}"),
            };
            messages.push(RawMessage { offset, body: delivery.data });
        }
        channel.close(200, "read".into()).await.ok();
        Ok(messages)
    }
}
