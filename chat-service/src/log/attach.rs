//! How a reader gets (back) onto its stream: at the last offset it knows, expecting that very message. An attach past the end of a
//! truncated stream is silently deaf, so silence is looked into; slowness is never taken for proof. Gateways and historian attach alike.

mod evidence;

use super::config::ANCHOR_LIMIT;
use super::delivery::Delivery;
use crate::broker::{Broker, ConsumeError, Consumer, From};
pub(crate) use evidence::Evidence;
use evidence::{First, Found, Observed};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Silence so long after a delivery means that the last chunk has ended.
const QUIET: Duration = Duration::from_secs(1);
/// A stream's statistics are some seconds old.
const STATISTICS: Duration = Duration::from_secs(6);

/// What is known of a log's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Offset of the last known message; -1: none.
    pub(crate) off: i64,
    /// CRC-32 of its body, if known.
    pub(crate) crc: Option<u32>,
}

/// A reader that stands where it should.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Delivers what follows.
    pub(crate) consumer: Consumer,
    /// Messages that were delivered meanwhile, the first to come.
    pub(crate) first: Option<Delivery>,
}

/// How an attach ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The anchor was delivered: all that follows comes.
    Anchored(Attached),
    /// The stream begins behind the anchor: everything up to `first` is not to be had from it.
    Lost(Attached, u64),
    /// It says no such stream, or ended the consumer.
    Gone,
    /// Seen twice, on every node: this is not the log that was read before.
    Changed(Evidence),
    /// Nothing can be said; try again.
    Failed(String),
}

/// Attaches once. Takes up to 10 s in the good case and a minute where a broker is silent.
pub(crate) async fn attach(broker: &Broker, stream: &str, anchor: Anchor, prefetch: u16) -> Outcome {
    let Ok(offset) = u64::try_from(anchor.off) else { return at_start(broker, stream, prefetch).await };
    match at_anchor(broker, stream, offset, anchor.crc, prefetch).await {
        Ok(outcome) => outcome,
        Err(()) => match find_out(broker, stream, offset, anchor.crc, prefetch).await {
            Ok(outcome) => outcome,
            Err(error) => failed(&error),
        },
    }
}

/// A log of which nothing is known: whatever comes first is the first. Ready at consume-ok.
async fn at_start(broker: &Broker, stream: &str, prefetch: u16) -> Outcome {
    match broker.consume(stream, From::Offset(0), prefetch).await {
        Ok(consumer) => Outcome::Anchored(Attached { consumer, first: None }),
        Err(error) => failed(&error),
    }
}

fn failed(error: &ConsumeError) -> Outcome {
    match error {
        ConsumeError::NotFound | ConsumeError::Cancelled => Outcome::Gone,
        ConsumeError::Unavailable | ConsumeError::Ended(_) => Outcome::Failed(error.to_string()),
    }
}

/// `Err`: the anchor did not come; why is to be found out.
async fn at_anchor(broker: &Broker, stream: &str, offset: u64, crc: Option<u32>, prefetch: u16) -> Result<Outcome, ()> {
    let mut consumer = match broker.consume(stream, From::Offset(offset), prefetch).await {
        Ok(consumer) => consumer,
        Err(error) => return Ok(failed(&error)),
    };
    match first_from(&mut consumer, offset).await {
        Ok(Some(delivery)) if delivery.offset == offset && crc.is_none_or(|crc| crc == delivery.crc()) => {
            Ok(Outcome::Anchored(Attached { consumer, first: None }))
        }
        Ok(Some(delivery)) if delivery.offset == offset + 1 => Ok(behind(consumer, delivery, offset)),
        // A loss is not believed on the word of one consumer.
        Ok(_) => Err(()),
        Err(error) => Ok(failed(&error)),
    }
}

/// The stream's first message is behind the anchor: its beginning was removed.
fn behind(consumer: Consumer, first: Delivery, offset: u64) -> Outcome {
    let lost_until = first.offset;
    let attached = Attached { consumer, first: Some(first) };
    if lost_until == offset + 1 { Outcome::Anchored(attached) } else { Outcome::Lost(attached, lost_until) }
}

/// The first message at or after `offset`; `None`: silence.
async fn first_from(consumer: &mut Consumer, offset: u64) -> Result<Option<Delivery>, ConsumeError> {
    let deadline = Instant::now() + ANCHOR_LIMIT;
    loop {
        match timeout_at(deadline, consumer.next()).await {
            Ok(Ok(delivery)) if delivery.offset < offset => {}
            Ok(Ok(delivery)) => return Ok(Some(delivery)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
}

/// Looks twice, at every node: only what all of them show both times is believed.
async fn find_out(
    broker: &Broker,
    stream: &str,
    offset: u64,
    crc: Option<u32>,
    prefetch: u16,
) -> Result<Outcome, ConsumeError> {
    let mut observed = Vec::new();
    for round in 0..2 {
        if round > 0 {
            tokio::time::sleep(STATISTICS).await;
        }
        for node in 0..broker.nodes() {
            let (seen, consumer) = observe(broker, node, stream, offset, crc, prefetch).await?;
            // A stream that begins behind the anchor was cut at its head, not replaced: read on from there.
            if let (First::Behind(_), Some((consumer, first))) = (seen.first, consumer) {
                return Ok(behind(consumer, first, offset));
            }
            observed.push(seen);
        }
    }
    Ok(match evidence::judge(offset, &observed) {
        Found::Changed(evidence) => Outcome::Changed(evidence),
        Found::Nothing => Outcome::Failed("the anchor did not come in time".into()),
    })
}

async fn observe(
    broker: &Broker,
    node: usize,
    stream: &str,
    offset: u64,
    crc: Option<u32>,
    prefetch: u16,
) -> Result<(Observed, Option<(Consumer, Delivery)>), ConsumeError> {
    let mut at = broker.consume_at(node, stream, From::Offset(offset), prefetch).await?;
    let differs = match first_from(&mut at, offset).await? {
        Some(delivery) if delivery.offset == offset => Some(crc.is_some_and(|crc| crc != delivery.crc())),
        _ => None,
    };
    drop(at);
    let mut first_consumer = broker.consume_at(node, stream, From::First, prefetch).await?;
    let first = first_from(&mut first_consumer, 0).await?;
    let (first, behind) = match first {
        Some(delivery) if delivery.offset > offset => {
            (First::Behind(delivery.offset), Some((first_consumer, delivery)))
        }
        Some(_) => (First::AtOrBefore, None),
        None => (First::Silent { messages: broker.messages_at(node, stream).await? }, None),
    };
    let last = if first == First::AtOrBefore { last_offset(broker, node, stream, prefetch).await? } else { None };
    Ok((Observed { differs, first, last }, behind))
}

/// The offset of the stream's last message, if it has one: that of its last chunk.
async fn last_offset(broker: &Broker, node: usize, stream: &str, prefetch: u16) -> Result<Option<u64>, ConsumeError> {
    let mut consumer = broker.consume_at(node, stream, From::Last, prefetch).await?;
    let mut last = None;
    let deadline = Instant::now() + 2 * ANCHOR_LIMIT;
    let mut quiet = Instant::now() + ANCHOR_LIMIT;
    while let Ok(delivery) = timeout_at(quiet.min(deadline), consumer.next()).await {
        last = last.max(Some(delivery?.offset));
        quiet = Instant::now() + QUIET;
    }
    Ok(last)
}

/// The verified end of a log: the offset of its last message, `None` if it has none.
pub(super) async fn end(broker: &Broker, stream: &str, prefetch: u16) -> Result<Option<u64>, ConsumeError> {
    last_offset(broker, 0, stream, prefetch).await
}
