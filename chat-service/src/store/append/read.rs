//! Decodes a segment: the events at their positions, and the bodies that are none.

use super::Segment;
use crate::log::delivery::Delivery;
use contract::event::{Envelope, Event};
use contract::position::pos;

/// What a segment says.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// In order.
    pub(super) events: Vec<(u64, Event)>,
    /// To be put into quarantine.
    pub(super) bad: Vec<Bad>,
    /// Position up to which the log is read with it.
    pub(super) end: u64,
}

/// A body, or the part of one, that cannot be stored.
#[derive(Debug)]
pub(super) struct Bad {
    /// Of its message.
    pub(super) offset: u64,
    /// Why.
    pub(super) error: String,
    /// What stood there.
    pub(super) body: Vec<u8>,
}

/// Messages of another room or epoch are passed by.
pub(super) fn segment(segment: &Segment) -> Read {
    let mut read = Read::default();
    for delivery in &segment.deliveries {
        read.end = read.end.max(message(segment, delivery, &mut read));
    }
    read
}

fn message(segment: &Segment, delivery: &Delivery, read: &mut Read) -> u64 {
    if !delivery.is_for(segment.room.id, &segment.epoch) {
        return delivery.end(None);
    }
    match Envelope::decode(&delivery.body) {
        Ok(envelope) => {
            let count = envelope.events.len();
            for (index, event) in envelope.events.into_iter().enumerate() {
                if event.holds_nul() {
                    let body = event.encode().unwrap_or_default();
                    read.bad.push(Bad { offset: delivery.offset, error: "a text holds NUL".to_owned(), body });
                } else {
                    read.events.push((pos(delivery.offset, index), event));
                }
            }
            delivery.end(Some(count))
        }
        Err(error) => {
            read.bad.push(Bad { offset: delivery.offset, error: error.to_string(), body: delivery.body.to_vec() });
            delivery.end(None)
        }
    }
}
