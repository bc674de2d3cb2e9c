//! How a reader takes up a log: from the historian's stored position on, with the keys of the last while.

use super::attach::Anchor;
use super::config::RECALL;
use super::dedup::Memory;
use super::registry::Context;
use super::retained::Retained;
use super::room::{Log, Room};
use super::{AppendError, RoomKey, meters};
use crate::store::keys::{self, Recent};
use crate::store::logs::{self, LogRow};
use contract::position::{LogPosition, pos};
use contract::standing::Standing;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// PostgreSQL answers within this, or it is out of reach.
pub(super) const DATABASE_LIMIT: Duration = Duration::from_secs(5);

/// What PostgreSQL says when a room is opened.
pub(super) enum Opened {
    /// There is no such room.
    Missing,
    /// It has no log in use.
    NoLog,
    /// Its log, and keys of the last while from the same moment or later.
    Log(Box<LogRow>, Recent),
}

/// Reads a room's row and keys.
pub(super) async fn open(context: Arc<Context>, room: RoomKey) -> Result<Opened, sqlx::Error> {
    let read = async {
        let Some(current) = logs::current(&context.pool, &[room.id]).await?.pop() else { return Ok(Opened::Missing) };
        let Some(row) = current.log else { return Ok(Opened::NoLog) };
        let recent = keys::recent(&context.pool, room.id, context.config.keys).await?;
        Ok(Opened::Log(Box::new(row), recent))
    };
    timeout(DATABASE_LIMIT, read).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

impl Room {
    /// Takes up the log of `row` at its stored position. `recent`: the keys below; `None`: all of the log before was read here.
    pub(super) fn begin(&mut self, row: &LogRow, recent: Option<Recent>) {
        let before = self.log.take();
        self.outgoing.fail_pending(&AppendError::Unavailable("log_changing"));
        self.deciding = None;
        if let Some(recent) = recent {
            self.remember(recent);
        }
        self.standing = Standing::at(row.sending);
        self.epochs.insert(row.epoch.ordinal(), row.epoch.clone());
        self.ring.restart(row.pos);
        self.retained = Retained::new(row.off);
        self.anchored = false;
        self.log = Some(Log {
            id: row.id,
            stream: row.stream.clone(),
            routing_key: row.routing_key.clone(),
            epoch: Arc::new(row.epoch.clone()),
            last: Anchor { off: row.off, crc: row.anchor },
            pos: row.pos,
            stored_off: row.off,
            stored_pos: row.pos,
            kept: row.kept,
        });
        match before {
            Some(before) if *before.epoch == row.epoch => self.cursors.miss(&row.epoch, before.pos + 1, row.pos),
            Some(_) => {
                tracing::info!(room = %self.key.name, epoch = %row.epoch, "the room has a new log");
                self.cursors.reset(&row.epoch, row.pos);
                self.restart_replays();
            }
            None => {}
        }
        self.tell_applied();
        self.attach();
    }

    fn remember(&mut self, recent: Recent) {
        let now = Instant::now();
        // Without a clock that goes back so far: from now on.
        let since = if recent.whole { now.checked_sub(RECALL).unwrap_or(now) } else { now };
        let mut memory = Memory::new(recent.reach, since, self.context.config.keys);
        for stored in recent.keys.into_iter().rev() {
            self.epochs.entry(stored.epoch.ordinal()).or_insert(stored.epoch);
            memory.remember(stored.key, stored.known, now);
        }
        self.memory = memory;
    }

    /// The stream begins at `until`, behind what was read, and nobody has what lies between.
    pub(super) fn accept_loss(&mut self, until: u64) {
        let Some(log) = &mut self.log else { return };
        let end = pos(until, 0) - 1;
        let lost = i64::try_from(until).unwrap_or(i64::MAX).saturating_sub(log.last.off + 1);
        tracing::error!(room = %self.key.name, stream = log.stream, lost, "messages of a log are not to be had any more");
        meters::lost(u64::try_from(lost).unwrap_or(0));
        self.cursors.miss(&log.epoch, log.pos + 1, end);
        self.memory.skip_to(LogPosition::new(log.epoch.ordinal(), end), Instant::now());
        self.ring.restart(end);
        log.last = Anchor { off: i64::try_from(until).unwrap_or(i64::MAX) - 1, crc: None };
        log.pos = log.pos.max(end);
        self.retained = Retained::new(log.last.off);
        self.tell_applied();
    }
}
