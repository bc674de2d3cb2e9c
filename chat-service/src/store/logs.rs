//! Rows of logs as readers need them.

use crate::log::RoomKey;
use crate::log::frame::Frame;
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A log, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    /// `logs.id`.
    pub(crate) id: i64,
    /// Whose.
    pub(crate) room: RoomKey,
    /// Its name.
    pub(crate) epoch: Epoch,
    /// The stream.
    pub(crate) stream: String,
    /// Key in `parlor.rooms`.
    pub(crate) routing_key: String,
    /// Offset of the last stored AMQP message; -1: none.
    pub(crate) off: i64,
    /// CRC-32 of that message's body; `None` without one, or where it is not known.
    pub(crate) anchor: Option<u32>,
    /// Position of the last stored event.
    pub(crate) pos: u64,
    /// Whether the log stood open to sending at `off`.
    pub(crate) sending: bool,
    /// `pending`, `open`, `closed` or `gone`.
    pub(crate) state: String,
    /// What the broker keeps of it.
    pub(crate) kept: Kept,
}

/// What the broker keeps of a log at least, so that the historian finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// On its disk. A log is cut by whole segments, whenever one is full.
    pub(crate) bytes: usize,
    /// Since it was sent.
    pub(crate) age: Duration,
}

impl Kept {
    /// From the class's size and age, 0 or absent where other limits come first, and the size of the log's segments.
    pub(crate) fn of(log_bytes: Option<i64>, log_seconds: Option<i64>, segment_bytes: i64) -> Self {
        let said = |number: Option<i64>| number.filter(|number| *number > 0);
        let bytes = said(log_bytes).map(|bytes| bytes.saturating_sub(segment_bytes).max(0));
        Self {
            bytes: bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            age: said(log_seconds).map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.unsigned_abs())),
        }
    }
}

/// A room that exists, with the log that is in use, if one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    /// The room's id.
    pub(crate) room: Uuid,
    /// `None`: none yet, or it is just being changed.
    pub(crate) log: Option<LogRow>,
}

/// The rooms among `rooms` that exist.
pub(crate) async fn current(pool: &PgPool, rooms: &[Uuid]) -> Result<Vec<Current>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select r.id as room, r.namespace, r.name, l.id as "id?", l.epoch as "epoch?", l.stream as "stream?",
               l.routing_key as "routing_key?", l.off as "off?", l.anchor_crc, l.pos as "pos?", l.sending as "sending?", l.state as "state?",
               l.segment_bytes as "segment_bytes?", (r.spec->>'log_bytes')::bigint as log_bytes, (r.spec->>'log_seconds')::bigint as log_seconds
           from rooms r left join logs l on l.room = r.id and l.state = 'open'
           where r.id = any($1)"#,
        rooms
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let kept = row.segment_bytes.map(|segment| Kept::of(row.log_bytes, row.log_seconds, segment));
            let log = match (
                row.id,
                row.epoch,
                row.stream,
                row.routing_key,
                row.off,
                row.pos,
                row.sending,
                row.state,
                kept,
            ) {
                (
                    Some(id),
                    Some(epoch),
                    Some(stream),
                    Some(routing_key),
                    Some(off),
                    Some(pos),
                    Some(sending),
                    Some(state),
                    Some(kept),
                ) => Some(LogRow {
                    id,
                    room: room_key(row.room, &row.namespace, &row.name)?,
                    epoch: decode(epoch.parse())?,
                    stream,
                    routing_key,
                    off,
                    anchor: row.anchor_crc.and_then(|crc| u32::try_from(crc).ok()),
                    pos: u64::try_from(pos).unwrap_or(0),
                    sending,
                    state,
                    kept,
                }),
                _ => None,
            };
            Ok(Current { room: row.room, log })
        })
        .collect()
}

/// Stored events of one log after a position.
#[derive(Debug)]
pub(crate) struct Replay {
    /// In order.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// Up to where the log is stored; `None`: there is no such log.
    pub(crate) stored: Option<u64>,
    /// Something after the position is not to be had any more: lost, or removed by retention.
    pub(crate) incomplete: bool,
}

/// At most `limit` events after `after`, all of one snapshot. `closed` is none that clients see.
pub(crate) async fn replay(
    pool: &PgPool,
    room: Uuid,
    ordinal: u32,
    after: u64,
    limit: usize,
) -> Result<Replay, sqlx::Error> {
    let ordinal_column = i32::try_from(ordinal).unwrap_or(i32::MAX);
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"select l.pos as stored,
               (l.trimmed_pos > $3 or exists (
                   select from gaps g where g.room = $1 and g.ordinal = $2 and g.to_pos > $3
               )) as "incomplete!",
               e.pos as "pos?", e.event as "event?"
           from logs l left join lateral (
               select pos, event from events
               where room = $1 and ordinal = $2 and pos > $3 and type <> 'closed'
               order by pos limit $4
           ) e on true
           where l.room = $1 and l.ordinal = $2
           order by e.pos"#,
        room,
        ordinal_column,
        after,
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(pool)
    .await?;
    let mut replay = Replay { frames: Vec::with_capacity(rows.len()), stored: None, incomplete: false };
    for row in rows {
        replay.stored = u64::try_from(row.stored).ok();
        replay.incomplete = row.incomplete;
        if let (Some(pos), Some(event)) = (row.pos, row.event) {
            let at = LogPosition::new(ordinal, u64::try_from(pos).unwrap_or(0));
            replay.frames.push(Frame::stored(at, &event));
        }
    }
    Ok(replay)
}

/// The last `limit` events up to `until`, in order, if the log is stored up to there.
pub(crate) async fn tail(
    pool: &PgPool,
    room: Uuid,
    ordinal: u32,
    until: u64,
    limit: usize,
) -> Result<Vec<Arc<Frame>>, sqlx::Error> {
    let ordinal_column = i32::try_from(ordinal).unwrap_or(i32::MAX);
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    // A loss within is a position that no event of the tail may be below.
    let rows = sqlx::query!(
        r#"select e.pos, e.event from logs l join events e on e.room = l.room and e.ordinal = l.ordinal
           where l.room = $1 and l.ordinal = $2 and l.pos >= $3 and e.pos <= $3 and e.type <> 'closed'
               and e.pos > l.trimmed_pos
               and e.pos > coalesce((select max(to_pos) from gaps g where g.room = $1 and g.ordinal = $2), -1)
           order by e.pos desc limit $4"#,
        room,
        ordinal_column,
        until,
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(pool)
    .await?;
    let frame =
        |pos: i64, event: &str| Frame::stored(LogPosition::new(ordinal, u64::try_from(pos).unwrap_or(0)), event);
    Ok(rows.iter().rev().map(|row| frame(row.pos, &row.event)).collect())
}

/// A deleted log of which this gateway hands over what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Salvage {
    /// `logs.id`.
    pub(crate) log: i64,
    /// Whose.
    pub(crate) room: RoomKey,
    /// Its name.
    pub(crate) epoch: Epoch,
    /// Offset of the last stored AMQP message.
    pub(crate) off: i64,
}

/// What `gateway` has still to hand over.
pub(crate) async fn salvages(pool: &PgPool, gateway: &str) -> Result<Vec<Salvage>, sqlx::Error> {
    let rows = sqlx::query!(
        "select l.id, l.room, l.epoch, l.off, r.namespace, r.name
         from salvages s join logs l on l.id = s.log join rooms r on r.id = l.room
         where s.gateway = $1 and not s.done",
        gateway
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let room = room_key(row.room, &row.namespace, &row.name)?;
            Ok(Salvage { log: row.id, room, epoch: decode(row.epoch.parse())?, off: row.off })
        })
        .collect()
}

/// Offset of the last stored AMQP message of a log.
pub(crate) async fn stored_offset(pool: &PgPool, log: i64) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!("select off from logs where id = $1", log).fetch_optional(pool).await
}

/// `gateway` has handed over all it has of a deleted log.
pub(crate) async fn salvaged(pool: &PgPool, log: i64, gateway: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update salvages set done = true where log = $1 and gateway = $2", log, gateway).execute(pool).await?;
    Ok(())
}

fn room_key(id: Uuid, namespace: &str, name: &str) -> Result<RoomKey, sqlx::Error> {
    Ok(RoomKey { id, name: decode(RoomName::new(namespace, name))? })
}

fn decode<T, E: std::error::Error + Send + Sync + 'static>(result: Result<T, E>) -> Result<T, sqlx::Error> {
    result.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
