//! The fence: rows of logs are locked in one order, and a segment counts only if its row still stands where it begins.

use super::Segment;
use contract::standing::Standing;
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// A segment whose row is locked and stands where it begins.
#[derive(Debug)]
pub(super) struct Current<'a> {
    /// Which of the call's segments.
    pub(super) index: usize,
    /// What to store.
    pub(super) segment: &'a Segment,
    /// The stream, for `quarantine`.
    pub(super) stream: String,
    /// As the row says.
    pub(super) standing: Standing,
    /// Position of the last stored event.
    pub(super) pos: u64,
}

/// PostgreSQL has no unsigned numbers; positions and offsets are far below the difference.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As [`signed`], back.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

struct Row {
    id: i64,
    room: Uuid,
    ordinal: i32,
    epoch: String,
    stream: String,
    off: i64,
    pos: i64,
    state: String,
    sending: bool,
}

/// Locks the rooms' logs that are not closed (the one that follows too, so that it cannot open meanwhile) and keeps the segments
/// that are current.
pub(super) async fn lock<'a>(
    connection: &mut PgConnection,
    segments: &'a [Segment],
) -> Result<Vec<Current<'a>>, sqlx::Error> {
    let rooms: Vec<Uuid> = segments.iter().map(|segment| segment.room.id).collect();
    // A process that is frozen here must not hold these rows for long; whoever is killed lets go at once. The rooms first, as
    // whoever deletes one.
    sqlx::query!(
        "select set_config('idle_in_transaction_session_timeout', '5s', true),
         (select count(*) from (select 1 from rooms where id = any($1) order by id for key share) r)",
        &rooms
    )
    .fetch_one(&mut *connection)
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, room, ordinal, epoch, stream, off, pos, state, sending from logs
         where room = any($1) and state <> 'closed' order by id for update",
        &rooms
    )
    .fetch_all(connection)
    .await?;
    let opened = last_opened(&rows);
    let mut by_id: HashMap<i64, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut current = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        // Taken out: a second segment of the same log in one call begins behind the row.
        if by_id.get(&segment.log).is_some_and(|row| stands(row, segment, &opened))
            && let Some(row) = by_id.remove(&segment.log)
        {
            current.push(Current {
                index,
                segment,
                stream: row.stream,
                standing: Standing::at(row.sending),
                pos: unsigned(row.pos),
            });
        }
    }
    Ok(current)
}

/// Per room the open log: an earlier one is over, also for those who still hold some of it.
fn last_opened(rows: &[Row]) -> HashMap<Uuid, i32> {
    rows.iter().filter(|row| row.state == "open").map(|row| (row.room, row.ordinal)).collect()
}

fn stands(row: &Row, segment: &Segment, opened: &HashMap<Uuid, i32>) -> bool {
    let over = opened.get(&row.room).is_some_and(|ordinal| *ordinal > row.ordinal);
    row.room == segment.room.id
        && row.epoch == segment.epoch.as_str()
        && row.off == segment.old_off
        && !over
        && matches!(row.state.as_str(), "open" | "gone")
        && segment.deliveries.first().is_some_and(|first| signed(first.offset) > segment.old_off)
}
