//! Dedup for ever: where each (room, sender, key) stands for the first time.

use crate::log::dedup::{Key, Known};
use contract::position::{Epoch, LogPosition};
use sqlx::PgPool;
use std::collections::HashMap;
use uuid::Uuid;

/// A key, where it stands, and the name of that log.
#[derive(Debug, Clone)]
pub(crate) struct StoredKey {
    /// Sender and key.
    pub(crate) key: Key,
    /// Where, with what, when.
    pub(crate) known: Known,
    /// The log it stands in.
    pub(crate) epoch: Epoch,
}

/// The keys of the last while, newest first.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Newest first.
    pub(crate) keys: Vec<StoredKey>,
    /// Everything stored above this is among them.
    pub(crate) reach: LogPosition,
    /// Whether they are all of the last 15 minutes.
    pub(crate) whole: bool,
}

/// What PostgreSQL knows of some keys, in one snapshot.
#[derive(Debug)]
pub(crate) struct LookedUp {
    /// Up to where the room is stored.
    pub(crate) stored: LogPosition,
    /// Those that are there; the others are absent up to `stored`.
    pub(crate) found: HashMap<Key, StoredKey>,
}

/// Keys that were stored within the last 15 minutes, at most `most`. A key's log is stored in order, so they are a tail of it.
pub(crate) async fn recent(pool: &PgPool, room: Uuid, most: usize) -> Result<Recent, sqlx::Error> {
    // One more than wanted tells where the rest begins.
    let limit = i64::try_from(most).unwrap_or(i64::MAX - 1) + 1;
    let rows = sqlx::query!(
        r#"select k.sender, k.key, k.ordinal, k.pos, k.time, k.hash, l.epoch, k.stored_at > now() - interval '15 minutes' as "fresh!"
           from message_keys k join logs l on l.room = k.room and l.ordinal = k.ordinal
           where k.room = $1 order by k.stored_at desc, k.ordinal desc, k.pos desc limit $2"#,
        room,
        limit
    )
    .fetch_all(pool)
    .await?;
    let mut recent = Recent { keys: Vec::with_capacity(rows.len()), reach: LogPosition::START, whole: true };
    for (index, row) in rows.into_iter().enumerate() {
        if index == most || !row.fresh {
            recent.reach = position(row.ordinal, row.pos);
            recent.whole = !row.fresh;
            break;
        }
        recent.keys.push(stored_key((row.sender, row.key), row.ordinal, row.pos, row.hash, row.time, &row.epoch)?);
    }
    Ok(recent)
}

/// Looks keys up, all in one.
pub(crate) async fn look_up(pool: &PgPool, room: Uuid, keys: &[Key]) -> Result<LookedUp, sqlx::Error> {
    let (senders, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"with stored as (
               select ordinal, pos from logs where room = $1 and state <> 'pending' order by ordinal desc limit 1
           ), found as (
               select k.sender, k.key, k.ordinal, k.pos, k.time, k.hash, l.epoch
               from unnest($2::uuid[], $3::uuid[]) as asked (sender, key)
               join message_keys k on k.room = $1 and k.sender = asked.sender and k.key = asked.key
               join logs l on l.room = k.room and l.ordinal = k.ordinal
           )
           select s.ordinal as stored_ordinal, s.pos as stored_pos, f.sender as "sender?", f.key as "key?", f.ordinal as "ordinal?",
               f.pos as "pos?", f.time as "time?", f.hash as "hash?", f.epoch as "epoch?"
           from stored s left join found f on true"#,
        room,
        &senders,
        &ids
    )
    .fetch_all(pool)
    .await?;
    let mut looked_up = LookedUp { stored: LogPosition::START, found: HashMap::new() };
    for row in rows {
        looked_up.stored = position(row.stored_ordinal, row.stored_pos);
        if let (Some(sender), Some(key), Some(ordinal), Some(pos), Some(time), Some(hash), Some(epoch)) =
            (row.sender, row.key, row.ordinal, row.pos, row.time, row.hash, row.epoch)
        {
            let stored = stored_key((sender, key), ordinal, pos, hash, time, &epoch)?;
            looked_up.found.insert(stored.key, stored);
        }
    }
    Ok(looked_up)
}

fn stored_key(
    key: Key,
    ordinal: i32,
    pos: i64,
    hash: String,
    time: String,
    epoch: &str,
) -> Result<StoredKey, sqlx::Error> {
    let epoch = epoch.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(StoredKey { key, known: Known { at: position(ordinal, pos), hash: hash.into(), time: time.into() }, epoch })
}

fn position(ordinal: i32, pos: i64) -> LogPosition {
    LogPosition::new(u32::try_from(ordinal).unwrap_or(0), u64::try_from(pos).unwrap_or(0))
}
