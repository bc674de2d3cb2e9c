//! The one guarded function that stores what was read from logs: used by the historian, and by gateways to salvage a deleted log.
//! One transaction over many logs; what PostgreSQL refuses is bisected out into `quarantine`, and the offset goes on.

mod guard;
mod keys;
mod mentions;
mod messages;
mod read;
mod transaction;
mod write;

use crate::log::RoomKey;
use crate::log::delivery::Delivery;
use contract::position::Epoch;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Deadlocks and the like, in a row.
const MOST_ATTEMPTS: u32 = 6;

/// Consecutive messages of one log behind its stored offset.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// `logs.id`.
    pub(crate) log: i64,
    /// Whose.
    pub(crate) room: RoomKey,
    /// Of the log.
    pub(crate) epoch: Epoch,
    /// The guard: stored only if the row still has this offset.
    pub(crate) old_off: i64,
    /// In order, all behind `old_off`.
    pub(crate) deliveries: Vec<Delivery>,
}

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Stored up to its last message.
    Done,
    /// The row has moved on: somebody else stored it. Read the row again.
    Overtaken,
}

/// What became of a segment, with what the historian must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether it was stored.
    pub(crate) stored: Stored,
    /// Rows in `events`.
    pub(crate) events: usize,
    /// Its `closed` was stored: the log is over.
    pub(crate) closed: bool,
    /// When the last event of the segment was sent, by its gateway's clock.
    pub(crate) last_time: Option<Arc<str>>,
}

impl Outcome {
    const OVERTAKEN: Self = Self { stored: Stored::Overtaken, events: 0, closed: false, last_time: None };
}

/// Logs of which everything between the stored offset and the segment's first message is lost, with the reason to show.
pub(crate) type Losses = HashMap<i64, &'static str>;

/// Stores segments of many logs in one transaction, exactly once: one answer each, in order.
pub(crate) async fn append(pool: &PgPool, segments: &[Segment]) -> Result<Vec<Stored>, sqlx::Error> {
    let outcomes = store(pool, segments, &Losses::new()).await?;
    Ok(outcomes.into_iter().map(|outcome| outcome.stored).collect())
}

/// As [`append`], and tells more; a loss becomes a `gaps` row in the same transaction as what follows it.
pub(crate) async fn store(pool: &PgPool, segments: &[Segment], losses: &Losses) -> Result<Vec<Outcome>, sqlx::Error> {
    match attempt(pool, segments, losses).await {
        Err(error) if is_refusal(&error) => bisect(pool, segments, losses).await,
        outcomes => outcomes,
    }
}

async fn attempt(pool: &PgPool, segments: &[Segment], losses: &Losses) -> Result<Vec<Outcome>, sqlx::Error> {
    let mut attempts = 1;
    loop {
        match transaction::run(pool, segments, losses).await {
            Err(error) if attempts < MOST_ATTEMPTS && is_transient(&error) => {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(5 + u64::from(rand::random::<u8>()) / 4)).await;
            }
            outcomes => return outcomes,
        }
    }
}

/// Halves until a single message is refused, whose events are then stored one by one.
async fn bisect(pool: &PgPool, segments: &[Segment], losses: &Losses) -> Result<Vec<Outcome>, sqlx::Error> {
    match segments {
        [segment] if segment.deliveries.len() <= 1 => Ok(vec![transaction::one_by_one(pool, segment, losses).await?]),
        [segment] => Ok(vec![halves(pool, segment, losses).await?]),
        segments => {
            let (first, second) = segments.split_at(segments.len() / 2);
            let mut outcomes = Box::pin(store(pool, first, losses)).await?;
            outcomes.extend(Box::pin(store(pool, second, losses)).await?);
            Ok(outcomes)
        }
    }
}

async fn halves(pool: &PgPool, segment: &Segment, losses: &Losses) -> Result<Outcome, sqlx::Error> {
    let (first, second) = segment.deliveries.split_at(segment.deliveries.len() / 2);
    let half =
        |old_off, deliveries: &[Delivery]| Segment { old_off, deliveries: deliveries.to_vec(), ..segment.clone() };
    let before = single(Box::pin(store(pool, &[half(segment.old_off, first)], losses)).await?);
    if before.stored == Stored::Overtaken || before.closed {
        return Ok(before);
    }
    let old_off = first.last().map_or(segment.old_off, |delivery| guard::signed(delivery.offset));
    let after = single(Box::pin(store(pool, &[half(old_off, second)], &Losses::new())).await?);
    Ok(Outcome { events: before.events + after.events, ..after })
}

fn single(outcomes: Vec<Outcome>) -> Outcome {
    outcomes.into_iter().next().unwrap_or(Outcome::OVERTAKEN)
}

/// What another try may well not meet: deadlock, serialization, a row that came meanwhile.
fn is_transient(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with("40"))
}

/// PostgreSQL will never take these data. Anything else (no connection, no disk, no table) is not the event's fault.
fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;
