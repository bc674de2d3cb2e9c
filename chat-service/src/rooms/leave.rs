//! Somebody leaves a room by themselves, a closed one too.

use crate::error::Refused;
use crate::live::Hint;
use crate::rooms::access::Wish;
use crate::state::State;
use crate::store::members;
use crate::store::outbox::{self, NewRow};
use contract::event::{Body, MemberChange, Role, User};
use contract::room::RoomName;
use uuid::Uuid;

/// Leaves; leaving a room that one is not in changes nothing.
pub(crate) async fn leave(state: &State, user: &User, name: &RoomName) -> Result<(), Refused> {
    let room = state.access.ask(Wish::Read, user.id, name).await?.key.clone();
    if remove(state, user, room.id).await?.is_none() {
        return Ok(());
    }
    state.outbox.wake();
    state.access.forget_member(room.id, user.id);
    state.live.hint(Hint::RoomsChanged { user: user.id, room: room.name });
    // Other gateways may still remember that this person may write.
    state.live.hint(Hint::RoomChanged { room: room.id });
    Ok(())
}

async fn remove(state: &State, user: &User, room: Uuid) -> Result<Option<Role>, Refused> {
    let failed = |error: sqlx::Error| Refused::database(&error);
    let mut transaction = state.pool.begin().await.map_err(failed)?;
    members::lock_room(&mut transaction, room).await.map_err(failed)?.ok_or(Refused::NotFound("room"))?;
    let role = members::remove(&mut transaction, room, user.id).await.map_err(failed)?;
    if let Some(role) = role {
        let body = Body::Member { user: user.clone(), change: MemberChange::Left, role };
        let row = NewRow { room, sender: Some(user.clone()), key: Uuid::now_v7(), body };
        outbox::put(&mut transaction, &row).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(role)
}
