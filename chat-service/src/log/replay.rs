//! Fetches a page of a replay that no task holds: from PostgreSQL, else from the stream by a consumer of its own.

use super::SubscribeError;
use super::delivery::Delivery;
use super::registry::Context;
use super::ring::{PageLimit, page};
use crate::broker::{ConsumeError, From};
use crate::log::frame::Frame;
use crate::store::logs;
use contract::position::{offset, pos};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

const DATABASE_LIMIT: Duration = Duration::from_secs(4);
const PERMIT_LIMIT: Duration = Duration::from_secs(3);
const STREAM_LIMIT: Duration = Duration::from_secs(5);

/// What is to be fetched.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) room: Uuid,
    pub(super) ordinal: u32,
    pub(super) stream: String,
    /// Events after this position,
    pub(super) from: u64,
    /// up to this offset.
    pub(super) until: i64,
    pub(super) limit: PageLimit,
}

/// What was fetched, with the position up to which it covers the log.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Events that counted.
    Frames(Vec<Arc<Frame>>, u64),
    /// Messages as they stand in the stream: raw copies.
    Messages(Vec<Delivery>, u64),
    /// Something in between is not to be had any more.
    Incomplete,
}

/// A page after `range.from`.
pub(super) async fn fetch(context: &Context, range: &Range) -> Result<Fetched, SubscribeError> {
    // PostgreSQL is down, or has nothing there yet, and the room's task does not hold it either.
    let unavailable = match from_database(context, range).await {
        Ok(Some(fetched)) => return Ok(fetched),
        Ok(None) => SubscribeError::Unavailable("broker"),
        Err(()) => SubscribeError::Unavailable("database"),
    };
    let Ok(Ok(_permit)) = timeout(PERMIT_LIMIT, context.replays.acquire()).await else {
        return Err(SubscribeError::Unavailable("busy"));
    };
    from_stream(context, range).await.map_err(|error| {
        tracing::debug!(%error, "failed to read a stream for a replay");
        unavailable
    })
}

/// `None`: nothing is stored there yet. `Err`: no answer.
async fn from_database(context: &Context, range: &Range) -> Result<Option<Fetched>, ()> {
    if context.database_rests() {
        return Err(());
    }
    let replay = logs::replay(&context.pool, range.room, range.ordinal, range.from, range.limit.events + 1);
    let replay = match timeout(DATABASE_LIMIT, replay).await {
        Ok(Ok(replay)) => replay,
        failed => {
            tracing::debug!(?failed, "failed to read events for a replay");
            context.database_failed();
            return Err(());
        }
    };
    let Some(stored) = replay.stored.filter(|_| !replay.incomplete) else { return Ok(Some(Fetched::Incomplete)) };
    let page = page(replay.frames.iter(), range.limit);
    let end = page.frames.last().filter(|_| page.more).map_or(stored, |last| last.at.pos);
    if end <= range.from {
        return Ok(None);
    }
    context.meters.from_database.increment(1);
    Ok(Some(Fetched::Frames(page.frames, end)))
}

/// Reads the stream from the message in which `range.from` stands.
async fn from_stream(context: &Context, range: &Range) -> Result<Fetched, ConsumeError> {
    let wanted = offset(range.from);
    let deadline = Instant::now() + STREAM_LIMIT;
    let prefetch = context.config.prefetch;
    let mut consumer = context.broker.consume_once(&range.stream, From::Offset(wanted.unwrap_or(0)), prefetch).await?;
    let mut messages: Vec<Delivery> = Vec::new();
    let mut bytes = 0;
    while bytes < range.limit.bytes {
        let delivery = match timeout_at(deadline, consumer.next()).await {
            Ok(delivery) => delivery?,
            Err(_) if messages.is_empty() => return Err(ConsumeError::Ended("no message in time".into())),
            Err(_) => break,
        };
        let expected = messages.is_empty().then_some(wanted.unwrap_or(0));
        // The message of `from` may be gone, but not one behind it.
        if expected.is_some_and(|expected| delivery.offset > expected + u64::from(wanted.is_some())) {
            return Ok(Fetched::Incomplete);
        }
        bytes += delivery.body.len();
        let last = i64::try_from(delivery.offset).unwrap_or(i64::MAX) >= range.until;
        messages.push(delivery);
        if last {
            break;
        }
    }
    context.meters.from_stream.increment(1);
    let end = messages.last().map_or(range.from, |last| pos(last.offset, usize::MAX));
    Ok(Fetched::Messages(messages, end))
}
