//! Writes what counts: keys, events, the fold; and takes out the outbox rows that are thereby done.

use super::guard::{Current, signed};
use super::keys::{self, Counted, Key};
use super::messages;
use super::read::{self, Bad};
use crate::log::frame;
use contract::event::{Body, Event};
use contract::standing::Standing;
use sqlx::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;

/// A segment on its way into the tables.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Its locked row.
    pub(super) current: Current<'a>,
    /// As it stands behind what was written so far.
    pub(super) standing: Standing,
    /// What to write, in order.
    pub(super) events: Vec<(u64, Event)>,
    /// For `quarantine`.
    pub(super) bad: Vec<Bad>,
    /// The new stored position.
    pub(super) end: u64,
    /// Rows in `events`.
    pub(super) stored: usize,
    /// Of the last event.
    pub(super) last_time: Option<Arc<str>>,
}

impl<'a> Work<'a> {
    /// Decodes a segment.
    pub(super) fn new(current: Current<'a>) -> Self {
        let read = read::segment(current.segment);
        Self {
            standing: current.standing.clone(),
            last_time: read.events.last().map(|(_, event)| event.time.clone()),
            events: read.events,
            bad: read.bad,
            end: read.end.max(current.pos),
            stored: 0,
            current,
        }
    }
}

/// Writes the events of all of `works`, which are then empty.
pub(super) async fn write(connection: &mut PgConnection, works: &mut [Work<'_>]) -> Result<(), sqlx::Error> {
    let turning: Vec<Key> = works
        .iter()
        .flat_map(|work| work.events.iter().map(|(_, event)| (work.current.segment.room.id, event)))
        .filter(|(_, event)| keys::is_turning(event))
        .map(|(room, event)| keys::key(room, event))
        .collect();
    let known = keys::known(connection, &turning).await?;
    let mut seen = HashSet::new();
    let mut counted: Vec<Counted<'_>> = Vec::new();
    for work in &mut *works {
        let (segment, events) = (work.current.segment, std::mem::take(&mut work.events));
        counted.extend(keys::walk(&segment.room, &segment.epoch, events, &mut work.standing, &known, &mut seen));
    }
    let counted = if counted.is_empty() { counted } else { keys::remember(connection, counted).await? };
    if !counted.is_empty() {
        events(connection, &counted).await?;
        messages::fold(connection, &counted).await?;
    }
    if !seen.is_empty() {
        keys::settle_outbox(connection, &seen).await?;
    }
    for work in works {
        let room = work.current.segment.room.id;
        work.stored += counted.iter().filter(|counted| counted.room.id == room && is_row(counted)).count();
    }
    Ok(())
}

/// Clients hear of `closed` as `reset`, so it is no row.
fn is_row(counted: &Counted<'_>) -> bool {
    !matches!(counted.event.body, Body::Closed { .. })
}

async fn events(connection: &mut PgConnection, counted: &[Counted<'_>]) -> Result<(), sqlx::Error> {
    let rows: Vec<&Counted<'_>> = counted.iter().filter(|counted| is_row(counted)).collect();
    let rooms: Vec<uuid::Uuid> = rows.iter().map(|row| row.room.id).collect();
    let ordinals: Vec<i32> = rows.iter().map(|row| row.ordinal()).collect();
    let positions: Vec<i64> = rows.iter().map(|row| signed(row.pos)).collect();
    let types: Vec<&str> = rows.iter().map(|row| row.event.body.type_word()).collect();
    let texts: Vec<String> =
        rows.iter().map(|row| frame::render(&row.room.name, row.epoch, row.pos, &row.event)).collect();
    sqlx::query!(
        "insert into events (room, ordinal, pos, type, event)
         select * from unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::text[])",
        &rooms,
        &ordinals,
        &positions,
        &types as &[&str],
        &texts
    )
    .execute(connection)
    .await?;
    Ok(())
}
