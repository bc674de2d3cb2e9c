//! What the database says of a room's logs, for tests that reach behind the programs.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{PgPool, Row};

use crate::checker::Place;
use crate::{load, wait};

/// The newest log of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The room's UUID.
    pub room: String,
    /// Its epoch.
    pub epoch: String,
    /// The queue.
    pub stream: String,
    /// The key in `parlor.rooms`.
    pub routing_key: String,
    /// `open`, `pending`, …
    pub state: String,
    /// Offset of the last stored message, -1: none.
    pub offset: i64,
}

impl LogRow {
    /// That of `namespace/name`.
    pub async fn newest(pool: &PgPool, room: &str) -> Result<Self> {
        let row = sqlx::query(
            "select l.room::text as room, l.epoch, l.stream, l.routing_key, l.state, l.off
             from logs l join rooms r on r.id = l.room
             where r.namespace || '/' || r.name = $1 order by l.ordinal desc limit 1",
        )
        .bind(room)
        .fetch_optional(pool)
        .await?
        .with_context(|| format!("{room} has no log"))?;
        Ok(Self {
            room: row.try_get("room")?,
            epoch: row.try_get("epoch")?,
            stream: row.try_get("stream")?,
            routing_key: row.try_get("routing_key")?,
            state: row.try_get("state")?,
            offset: row.try_get("off")?,
        })
    }

    /// Waits for a log that is open under another epoch than `before`.
    pub async fn next(pool: &PgPool, room: &str, before: &str, limit: Duration) -> Result<Self> {
        wait::until(limit, &format!("a log of {room} after {before}"), || async {
            let row = Self::newest(pool, room).await?;
            Ok((row.state == "open" && row.epoch != before).then_some(row))
        })
        .await
    }
}

/// Waits until the historian has stored a room up to `place`.
pub async fn stored(pool: &PgPool, room: &str, place: Place, limit: Duration) -> Result<()> {
    wait::until(limit, &format!("{room} stored up to {place:?}"), || async {
        let now = load::last_stored(pool, room).await?;
        anyhow::ensure!(now >= place, "it is stored up to {now:?}");
        Ok(Some(()))
    })
    .await
}
