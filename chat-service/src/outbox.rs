//! Publishes rows of the outbox until the historian has stored them: each in its room's current epoch, a room's rows in the order
//! in which they were written.

use crate::log::{AppendError, Draft, Logs, RoomKey, hash};
use crate::store::outbox::{self, Due, DueRoom};
use service::shutdown::Shutdown;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Rows that nobody woke us for (of another gateway, or tried before).
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rooms that are published to at the same time.
const MOST_ROOMS: usize = 32;

/// Wakes the relay of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    some: Arc<Notify>,
}

impl Outbox {
    /// A row was just committed: publish it now instead of at the next look.
    pub(crate) fn wake(&self) {
        self.some.notify_one();
    }
}

/// Starts the relay; it stops once shutdown begins. What it leaves undone another gateway does.
pub(crate) fn start(pool: PgPool, logs: Logs, shutdown: &Shutdown) -> Outbox {
    let outbox = Outbox::default();
    tokio::spawn(run(pool, logs, outbox.clone(), shutdown.clone()));
    outbox
}

async fn run(pool: PgPool, logs: Logs, outbox: Outbox, shutdown: Shutdown) {
    let mut rooms: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            () = outbox.some.notified() => {}
            () = sleep(LOOK_EVERY) => {}
            Some(_) = rooms.join_next() => {}
        }
        while rooms.try_join_next().is_some() {}
        let free = MOST_ROOMS.saturating_sub(rooms.len());
        if free == 0 {
            continue;
        }
        match outbox::claim(&pool, free).await {
            Ok(due) => {
                for room in due {
                    rooms.spawn(publish(pool.clone(), logs.clone(), outbox.clone(), room));
                }
            }
            Err(error) => tracing::warn!(%error, "failed to look into the outbox"),
        }
    }
}

/// A room's rows one after the other: the second must not stand in the log without the first.
async fn publish(pool: PgPool, logs: Logs, outbox: Outbox, room: DueRoom) {
    let mut appended = Vec::new();
    for row in room.rows {
        metrics::counter!("parlor_outbox_attempts_total").increment(1);
        let id = row.id;
        match logs.append(&room.room, draft(row)).await {
            Ok(_) => appended.push(id),
            // It stands there already, said by somebody in other words; the historian settles the row.
            Err(AppendError::Conflict) => {
                tracing::error!(room = %room.room.name, row = id, "an event of the outbox stands in the log with another body");
                appended.push(id);
            }
            Err(error) => {
                note_failure(&room.room, &error);
                break;
            }
        }
    }
    match outbox::mark_appended(&pool, &appended).await {
        // More may have been waiting behind these.
        Ok(()) if !appended.is_empty() => outbox.wake(),
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "failed to note what was published from the outbox"),
    }
}

fn note_failure(room: &RoomKey, error: &AppendError) {
    metrics::counter!("parlor_outbox_failures_total").increment(1);
    tracing::warn!(room = %room.name, %error, "failed to publish from the outbox, trying again");
}

fn draft(row: Due) -> Draft {
    Draft {
        hash: hash(&row.said.body),
        sender: row.said.sender,
        key: row.key,
        body: row.said.body,
        after: Some(row.after),
    }
}

#[cfg(test)]
mod tests;
