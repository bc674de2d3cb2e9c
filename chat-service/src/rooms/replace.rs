//! Names a new log for a room: by compare and set on the newest one, so that of many observers one wins and all use the winner's.

use crate::rooms::confirm::closing_key;
use crate::store::admin::{self, Patience};
use crate::store::epochs;
use contract::names;
use contract::position::Epoch;
use contract::room::RoomName;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What is the newest log now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Its epoch.
    pub(crate) newest: Epoch,
    /// It was named by this call.
    pub(crate) won: bool,
}

/// Why there is no new log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// No such room (any longer).
    #[error("there is no such room")]
    NotFound,
    /// PostgreSQL.
    #[error("failed to replace a log: {0}")]
    Database(#[source] sqlx::Error),
}

/// A log to be declared, under a name that was never used.
pub(crate) fn new_log(room: Uuid, name: &RoomName, class: &str, ordinal: u32) -> epochs::NewLog {
    let epoch = Epoch::random(ordinal, &mut rand::rng());
    epochs::NewLog {
        room,
        ordinal: i32::try_from(ordinal).unwrap_or(i32::MAX),
        stream: names::log_stream(class, name, &epoch),
        routing_key: names::log_key(name, &epoch),
        epoch: epoch.to_string(),
    }
}

/// Names a new pending log if `expected` is still the newest. `gone`: the stream of `expected` no longer exists, so it cannot be closed
/// by an event, and gateways hand over what they hold of it. That is also noted where somebody has named a successor already.
pub(crate) async fn replace(pool: &PgPool, room: Uuid, expected: &Epoch, gone: bool) -> Result<Replaced, ReplaceError> {
    let mut transaction = admin::begin(pool, Patience::Usual).await.map_err(ReplaceError::Database)?;
    let (name, class) =
        admin::lock_one(&mut transaction, room).await.map_err(ReplaceError::Database)?.ok_or(ReplaceError::NotFound)?;
    let replaced = replace_locked(&mut transaction, room, &name, &class, expected, gone)
        .await
        .map_err(ReplaceError::Database)?
        .ok_or(ReplaceError::NotFound)?;
    transaction.commit().await.map_err(ReplaceError::Database)?;
    Ok(replaced)
}

async fn replace_locked(
    connection: &mut PgConnection,
    room: Uuid,
    name: &RoomName,
    class: &str,
    expected: &Epoch,
    gone: bool,
) -> Result<Option<Replaced>, sqlx::Error> {
    let logs = epochs::lock(&mut *connection, &[room]).await?;
    let Some(newest) = logs.last() else { return Ok(None) };
    let Ok(newest_epoch) = newest.epoch.parse::<Epoch>() else { return Ok(None) };
    // A successor that is pending was named to close this one by an event, which can no longer be.
    if let Some(open) = logs.iter().find(|log| log.state == "open" && log.epoch == expected.as_str() && gone) {
        epochs::mark_gone(&mut *connection, open.id).await?;
        epochs::take_back(&mut *connection, room, closing_key(room, &open.epoch)).await?;
    }
    if newest_epoch != *expected {
        return Ok(Some(Replaced { newest: newest_epoch, won: false }));
    }
    if newest.state == "pending" {
        epochs::forget_pending(&mut *connection, newest.id).await?;
        // `closed` names the log that follows: it is written anew once that one is declared.
        for older in logs.iter().filter(|log| log.state == "open") {
            epochs::take_back(&mut *connection, room, closing_key(room, &older.epoch)).await?;
        }
    }
    let next = new_log(room, name, class, newest_epoch.ordinal() + 1);
    epochs::insert(connection, std::slice::from_ref(&next)).await?;
    Ok(next.epoch.parse().ok().map(|newest| Replaced { newest, won: true }))
}

#[cfg(test)]
mod tests;
