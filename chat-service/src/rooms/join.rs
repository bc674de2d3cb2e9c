//! Somebody joins a room by themselves: the member's row and the event of it in one transaction.

use crate::error::Refused;
use crate::live::Hint;
use crate::log::RoomKey;
use crate::rooms::access::Wish;
use crate::state::State;
use crate::store::members;
use crate::store::outbox::{self, NewRow};
use contract::event::{Body, MemberChange, Role, User};
use contract::room::RoomName;
use uuid::Uuid;

/// Joins; joining again changes nothing.
pub(crate) async fn join(state: &State, user: &User, name: &RoomName) -> Result<(), Refused> {
    let room = state.access.ask(Wish::Read, user.id, name).await?.key.clone();
    if !add(state, user, &room).await? {
        return Ok(());
    }
    state.outbox.wake();
    state.access.expire_member(room.id, user.id);
    state.live.hint(Hint::RoomsChanged { user: user.id, room: room.name });
    Ok(())
}

/// False: they were in already.
async fn add(state: &State, user: &User, room: &RoomKey) -> Result<bool, Refused> {
    let failed = |error: sqlx::Error| Refused::database(&error);
    let mut transaction = state.pool.begin().await.map_err(failed)?;
    let capacity =
        members::lock_room(&mut transaction, room.id).await.map_err(failed)?.ok_or(Refused::NotFound("room"))?;
    if members::claim(&mut transaction, room.id, user.id).await.map_err(failed)? {
        transaction.commit().await.map_err(failed)?;
        return Ok(false);
    }
    if !capacity.open {
        return Err(Refused::Closed);
    }
    if members::count(&mut transaction, room.id).await.map_err(failed)? >= capacity.max_members {
        return Err(Refused::Conflict { reason: "room_full", detail: "the room has as many members as it may have" });
    }
    members::insert(&mut transaction, room.id, user, Role::Member).await.map_err(failed)?;
    let body = Body::Member { user: user.clone(), change: MemberChange::Joined, role: Role::Member };
    // The cause is this row, which is made once: a key of its own is as good as one derived from it.
    let row = NewRow { room: room.id, sender: Some(user.clone()), key: Uuid::now_v7(), body };
    outbox::put(&mut transaction, &row).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}
