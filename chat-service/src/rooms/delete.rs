//! Removes a room by its deletion policy. Its streams stay on record: the caller removes them from the broker, and may ask again.

use crate::rooms::close::{AdministerError, lock_owned};
use crate::rooms::refusal::Refusal;
use crate::rooms::spec::DeletionPolicy;
use crate::store::admin::{self, LockedRoom, Patience};
use crate::store::{closing, epochs};
use contract::room::RoomName;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The room's id; `None` where an earlier call removed it.
    pub(crate) room: Option<Uuid>,
    /// Streams that no row names any more.
    pub(crate) streams: Vec<String>,
}

/// Removes a room that this owner holds; asked again, it answers the same streams.
pub(crate) async fn delete(pool: &PgPool, name: &RoomName, owner_uid: &str) -> Result<Deleted, AdministerError> {
    let mut transaction = admin::begin(pool, Patience::Usual).await.map_err(AdministerError::Database)?;
    let room = match lock_owned(&mut transaction, name, owner_uid).await {
        Ok(room) => room,
        Err(AdministerError::Refused(refusal)) => {
            let before =
                closing::deleted(&mut transaction, name, owner_uid).await.map_err(AdministerError::Database)?;
            let streams = before.ok_or(refusal)?;
            return Ok(Deleted { room: None, streams });
        }
        Err(error) => return Err(error),
    };
    // The historian locks logs first and the room's row after: so do we before the row goes.
    epochs::lock(&mut transaction, &[room.id]).await.map_err(AdministerError::Database)?;
    if let Some(refusal) = refuse(&mut transaction, &room).await.map_err(AdministerError::Database)? {
        return Err(refusal.into());
    }
    let streams =
        closing::delete(&mut transaction, room.id, name, owner_uid).await.map_err(AdministerError::Database)?;
    transaction.commit().await.map_err(AdministerError::Database)?;
    Ok(Deleted { room: Some(room.id), streams })
}

/// Why the room's policy does not allow it now.
async fn refuse(connection: &mut PgConnection, room: &LockedRoom) -> Result<Option<Refusal>, sqlx::Error> {
    let policy = DeletionPolicy::parse(&room.deletion_policy);
    if policy == Some(DeletionPolicy::Delete) {
        return Ok(None);
    }
    let Some(key) = room.closing_key.filter(|_| !room.held.open && room.held.released) else {
        return Ok(Some(Refusal::NotClosed));
    };
    if policy != Some(DeletionPolicy::DeleteIfEmpty) {
        return Ok(None);
    }
    if !closing::read_to_end(&mut *connection, room.id, key).await? {
        return Ok(Some(Refusal::NotReadToEnd));
    }
    let messages = closing::messages(connection, room.id).await?;
    Ok((messages > 0).then_some(Refusal::NotEmpty { messages }))
}

#[cfg(test)]
mod tests;
