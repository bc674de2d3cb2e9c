//! Read pointers: up to where a person has read a room. They only move forward, and never beyond the room.

use crate::error::Refused;
use crate::log::Since;
use crate::rooms::access::Wish;
use crate::rooms::position;
use crate::state::State;
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use std::time::Duration;
use uuid::Uuid;

/// How long a position may be ahead of this gateway.
const WAIT: Duration = Duration::from_secs(2);

/// A pointer that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The room's id.
    pub(crate) room: Uuid,
    /// Up to here.
    pub(crate) at: LogPosition,
}

/// Checks a pointer: the room must be readable and must reach up to there, within 2 s.
pub(crate) async fn check(
    state: &State,
    user: Uuid,
    name: &RoomName,
    epoch: Option<Epoch>,
    pos: u64,
) -> Result<Pointer, Refused> {
    let room = state.access.ask(Wish::Read, user, name).await?;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => position::current(state, room.key.id).await?.epoch,
    };
    let pointer = Pointer { room: room.key.id, at: LogPosition::new(epoch.ordinal(), pos) };
    if reached(state.logs.applied(room.key.id), &epoch, pos) {
        return Ok(pointer);
    }
    let (known, current) = position::find(state, room.key.id, &epoch).await?;
    if current.stored() >= pointer.at {
        return known.then_some(pointer).ok_or_else(|| beyond(pos));
    }
    match state.logs.reach(&room.key, &Since { epoch, pos }, WAIT).await {
        Ok(()) => Ok(pointer),
        Err(crate::log::SubscribeError::Behind) => Err(beyond(pos)),
        Err(error) => Err(error.into()),
    }
}

fn beyond(pos: u64) -> Refused {
    Refused::invalid(format!("pos {pos} lies beyond the end of the room"))
}

/// Whether this gateway itself has read up to there.
fn reached(applied: Option<(Epoch, u64)>, epoch: &Epoch, pos: u64) -> bool {
    applied.is_some_and(|(applied, read)| applied == *epoch && read >= pos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_read_of_this_very_epoch_is_reached() {
        let epoch: Epoch = "2-abcdef".parse().unwrap();
        let other: Epoch = "2-ghijkl".parse().unwrap();
        assert!(reached(Some((epoch.clone(), 2048)), &epoch, 2048));
        assert!(!reached(Some((epoch.clone(), 2048)), &epoch, 2049));
        assert!(!reached(Some((other, 4096)), &epoch, 1));
        assert!(!reached(None, &epoch, 0));
    }
}
