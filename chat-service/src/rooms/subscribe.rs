//! Following a room from a position on: who may, and from where.

use crate::error::Refused;
use crate::log::outlet::Outlet;
use crate::log::{Since, Subscribed};
use crate::rooms::access::Wish;
use crate::rooms::position;
use crate::state::State;
use crate::store::rooms::RoomRow;
use contract::position::Epoch;
use contract::room::RoomName;
use std::sync::Arc;
use uuid::Uuid;

/// A client's position as it gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct At {
    /// Missing with a `pos`: the current one.
    pub(crate) epoch: Option<Epoch>,
    /// Missing: only what comes.
    pub(crate) pos: Option<u64>,
}

/// Subscribes an outlet to a room.
pub(crate) async fn subscribe(
    state: &State,
    user: Uuid,
    name: &RoomName,
    at: At,
    outlet: &Outlet,
) -> Result<(Arc<RoomRow>, Subscribed), Refused> {
    let room = state.access.ask(Wish::Read, user, name).await?;
    let subscribed = follow(state, &room, at, outlet).await?;
    Ok((room, subscribed))
}

/// The same where it is known that this person may read the room.
pub(crate) async fn follow(state: &State, room: &RoomRow, at: At, outlet: &Outlet) -> Result<Subscribed, Refused> {
    let since = match at {
        At { pos: None, .. } => None,
        At { pos: Some(pos), epoch: Some(epoch) } => Some(Since { epoch, pos }),
        At { pos: Some(pos), epoch: None } => Some(Since { epoch: current(state, room.key.id).await?, pos }),
    };
    Ok(state.logs.subscribe(&room.key, since, outlet).await?)
}

async fn current(state: &State, room: Uuid) -> Result<Epoch, Refused> {
    match state.logs.applied(room) {
        Some((epoch, _)) => Ok(epoch),
        None => Ok(position::current(state, room).await?.epoch),
    }
}
