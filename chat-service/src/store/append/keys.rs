//! Once: the first (room, sender, key) counts. Void events are told apart here and their keys are not remembered.

use super::guard::signed;
use contract::event::{Body, Event};
use contract::position::Epoch;
use contract::standing::Standing;
use sqlx::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;

/// (room, sender, key).
pub(super) type Key = (Uuid, Uuid, Uuid);

/// An event that counts, or will if its key is new.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    /// Whose.
    pub(super) room: &'a crate::log::RoomKey,
    /// Of the log.
    pub(super) epoch: &'a Epoch,
    /// Position.
    pub(super) pos: u64,
    /// What.
    pub(super) event: Event,
}

impl Counted<'_> {
    /// Its dedup key.
    pub(super) fn key(&self) -> Key {
        key(self.room.id, &self.event)
    }

    /// The ordinal of its log, as PostgreSQL has it.
    pub(super) fn ordinal(&self) -> i32 {
        i32::try_from(self.epoch.ordinal()).unwrap_or(i32::MAX)
    }
}

pub(super) fn key(room: Uuid, event: &Event) -> Key {
    (room, event.sender_id(), event.key)
}

/// Whether the events behind this one depend on whether it counts.
pub(super) fn is_turning(event: &Event) -> bool {
    matches!(event.body, Body::Room { .. } | Body::Closed { .. })
}

/// Goes through the events of one log in order: leaves out the void ones and those that stood earlier in this call or, for
/// turning events, in `known`; all keys that were not void are noted in `seen`.
pub(super) fn walk<'a>(
    room: &'a crate::log::RoomKey,
    epoch: &'a Epoch,
    events: Vec<(u64, Event)>,
    standing: &mut Standing,
    known: &HashSet<Key>,
    seen: &mut HashSet<Key>,
) -> Vec<Counted<'a>> {
    let mut counted = Vec::with_capacity(events.len());
    for (pos, event) in events {
        if !standing.admits(epoch, &event) || !seen.insert(key(room.id, &event)) {
            continue;
        }
        if is_turning(&event) {
            if known.contains(&key(room.id, &event)) {
                continue;
            }
            standing.apply(&event);
        }
        counted.push(Counted { room, epoch, pos, event });
    }
    counted
}

/// Which of these keys are remembered.
pub(super) async fn known(connection: &mut PgConnection, keys: &[Key]) -> Result<HashSet<Key>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let (rooms, senders, keys) = columns(keys.iter().copied());
    let rows = sqlx::query!(
        "select k.room, k.sender, k.key from message_keys k
         join unnest($1::uuid[], $2::uuid[], $3::uuid[]) as u (room, sender, key)
         on k.room = u.room and k.sender = u.sender and k.key = u.key",
        &rooms,
        &senders,
        &keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room, row.sender, row.key)).collect())
}

/// Remembers the keys that are new and keeps their events only.
pub(super) async fn remember<'a>(
    connection: &mut PgConnection,
    counted: Vec<Counted<'a>>,
) -> Result<Vec<Counted<'a>>, sqlx::Error> {
    let (rooms, senders, keys) = columns(counted.iter().map(Counted::key));
    let ordinals: Vec<i32> = counted.iter().map(Counted::ordinal).collect();
    let positions: Vec<i64> = counted.iter().map(|counted| signed(counted.pos)).collect();
    let times: Vec<&str> = counted.iter().map(|counted| &*counted.event.time).collect();
    let hashes: Vec<&str> = counted.iter().map(|counted| counted.event.hash.as_str()).collect();
    let rows = sqlx::query!(
        "insert into message_keys (room, sender, key, ordinal, pos, time, hash)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::text[], $7::text[])
         on conflict do nothing returning room, pos",
        &rooms,
        &senders,
        &keys,
        &ordinals,
        &positions,
        &times as &[&str],
        &hashes as &[&str]
    )
    .fetch_all(connection)
    .await?;
    if rows.len() == counted.len() {
        return Ok(counted);
    }
    let first: HashSet<(Uuid, i64)> = rows.into_iter().map(|row| (row.room, row.pos)).collect();
    Ok(counted.into_iter().filter(|counted| first.contains(&(counted.room.id, signed(counted.pos)))).collect())
}

/// Rows of the outbox have done their work once their key is remembered.
pub(super) async fn settle_outbox(connection: &mut PgConnection, seen: &HashSet<Key>) -> Result<(), sqlx::Error> {
    let (rooms, senders, keys) = columns(seen.iter().copied());
    sqlx::query!(
        "delete from outbox o using unnest($1::uuid[], $2::uuid[], $3::uuid[]) as u (room, sender, key)
         where o.room = u.room and o.sender = u.sender and o.key = u.key",
        &rooms,
        &senders,
        &keys
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn columns(keys: impl Iterator<Item = Key>) -> (Vec<Uuid>, Vec<Uuid>, Vec<Uuid>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (room, sender, key) in keys {
        columns.0.push(room);
        columns.1.push(sender);
        columns.2.push(key);
    }
    columns
}
