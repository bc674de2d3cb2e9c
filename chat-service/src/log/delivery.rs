//! One AMQP message of a log, as it was read from its stream.

use bytes::Bytes;
use contract::names::{EPOCH_HEADER, ROOM_HEADER};
use contract::position::{Epoch, pos};
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

/// What a stream delivered: still undecoded, so that a reader of another room or epoch can pass it by.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Stream offset.
    pub(crate) offset: u64,
    /// Room in the headers.
    pub(crate) room: Option<Uuid>,
    /// Epoch in the headers.
    pub(crate) epoch: Option<Epoch>,
    /// The envelope.
    pub(crate) body: Bytes,
}

impl Delivery {
    /// Reads offset and headers; `None` without an offset (not from a stream).
    pub(crate) fn read(headers: Option<&FieldTable>, body: Vec<u8>) -> Option<Self> {
        let table = headers?.inner();
        let offset = match table.get("x-stream-offset")? {
            AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok()?,
            AMQPValue::Timestamp(offset) => *offset,
            _ => return None,
        };
        let text = |name: &str| match table.get(name) {
            Some(AMQPValue::LongString(value)) => std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned),
            _ => None,
        };
        Some(Self {
            offset,
            room: text(ROOM_HEADER).and_then(|room| room.parse().ok()),
            epoch: text(EPOCH_HEADER).and_then(|epoch| epoch.parse().ok()),
            body: body.into(),
        })
    }

    /// Whether it is meant for this room and epoch: anything else is ignored.
    pub(crate) fn is_for(&self, room: Uuid, epoch: &Epoch) -> bool {
        self.room == Some(room) && self.epoch.as_ref() == Some(epoch)
    }

    /// The position up to which a log is read once this message is: that of its last event, void or not, if it is for this room and
    /// epoch and holds so many; else (another's, undecodable) that of its first. Gateways and historian must agree on it.
    pub(crate) fn end(&self, events: Option<usize>) -> u64 {
        pos(self.offset, events.unwrap_or(1).saturating_sub(1))
    }

    /// CRC-32 of the body: with the offset, the anchor of an attach.
    pub(crate) fn crc(&self) -> u32 {
        crc32fast::hash(&self.body)
    }
}
