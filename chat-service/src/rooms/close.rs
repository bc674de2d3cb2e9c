//! Closes a room to sending, by an event in its log, and says whether history has read up to it.

use crate::live::Hint;
use crate::rooms::effects::{self, Effects};
use crate::rooms::refusal::Refusal;
use crate::store::admin::{self, LockedRoom, Patience};
use crate::store::{closing, outbox};
use contract::room::RoomName;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What became of a closing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Everything before the closing is in history.
    pub(crate) read_to_end: bool,
    /// Undeleted messages in history.
    pub(crate) messages: i64,
}

/// Why a call on one room came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdministerError {
    /// It is not to be.
    #[error("{0}")]
    Refused(Refusal),
    /// PostgreSQL.
    #[error("failed to change a room: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<Refusal> for AdministerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Closes a room that this owner holds, and lets go of it: another owner may take it. Again: the same answer as time goes on.
pub(crate) async fn close(
    pool: &PgPool,
    name: &RoomName,
    owner_uid: &str,
) -> Result<(Closed, Effects), AdministerError> {
    let mut transaction = admin::begin(pool, Patience::Usual).await.map_err(AdministerError::Database)?;
    let room = lock_owned(&mut transaction, name, owner_uid).await?;
    let closed = close_locked(&mut transaction, &room).await.map_err(AdministerError::Database)?;
    transaction.commit().await.map_err(AdministerError::Database)?;
    Ok(closed)
}

/// Locks a room that this owner holds.
pub(crate) async fn lock_owned(
    connection: &mut PgConnection,
    name: &RoomName,
    owner_uid: &str,
) -> Result<LockedRoom, AdministerError> {
    let locked = admin::lock(connection, std::slice::from_ref(name)).await.map_err(AdministerError::Database)?;
    let room = locked.into_iter().next().ok_or(Refusal::NotFound)?;
    if room.held.owner_uid == owner_uid {
        Ok(room)
    } else {
        Err(Refusal::NameConflict { holder: room.held.owner_uid }.into())
    }
}

async fn close_locked(connection: &mut PgConnection, room: &LockedRoom) -> Result<(Closed, Effects), sqlx::Error> {
    let mut effects = Effects::default();
    // Each closing is another event, however often a room is closed and opened again.
    let key = room.closing_key.unwrap_or_else(Uuid::now_v7);
    if room.closing_key.is_none() {
        closing::close(&mut *connection, room.id, key).await?;
        outbox::put(&mut *connection, &effects::room_event(room, key, false)).await?;
        effects = Effects { events: true, hints: vec![Hint::RoomChanged { room: room.id }] };
    }
    let read_to_end = closing::read_to_end(&mut *connection, room.id, key).await?;
    let messages = closing::messages(connection, room.id).await?;
    Ok((Closed { read_to_end, messages }, effects))
}

#[cfg(test)]
mod tests;
