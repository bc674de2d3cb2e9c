//! An exclusive queue of this process, for what may be lost.

use super::link::Session;
use super::{ConsumeError, consumer};
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio_stream::StreamExt as _;

const MOST_MESSAGES: i64 = 10_000;
const MOST_BYTES: i64 = 8 * 1024 * 1024;
const PREFETCH: u16 = 500;

/// Goes, in the broker too, when it is dropped.
#[derive(Debug)]
pub(crate) struct OwnQueue {
    consumer: Consumer,
    /// The queue is the connection's, but its consumer goes with the channel, and the queue with its consumer.
    channel: Channel,
}

impl OwnQueue {
    /// The next message's body; waits without limit, cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, ConsumeError> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                consumer::write(vec![delivery.acker], self.channel.clone());
                Ok(delivery.data)
            }
            Some(Err(error)) => Err(ConsumeError::Ended(error.to_string())),
            None => Err(ConsumeError::Cancelled),
        }
    }
}

pub(super) async fn declare(session: &Session, name: &str, exchange: &str, keys: &[&str]) -> lapin::Result<OwnQueue> {
    let channel = session.connection.create_channel().await?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MOST_MESSAGES));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(MOST_BYTES));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    channel.queue_declare(name.into(), options, arguments).await?;
    for key in keys {
        let bind = QueueBindOptions::default();
        channel.queue_bind(name.into(), exchange.into(), (*key).into(), bind, FieldTable::default()).await?;
    }
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consume = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(name.into(), "".into(), consume, FieldTable::default()).await?;
    Ok(OwnQueue { consumer, channel })
}
