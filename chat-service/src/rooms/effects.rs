//! What others are told after a commit: the relay of the outbox, and gateways that would find out by themselves, later.

use crate::live::Hint;
use crate::state::State;
use crate::store::admin::LockedRoom;
use crate::store::outbox::NewRow;
use contract::event::Body;
use uuid::Uuid;

/// Collected while a transaction runs, announced once it is committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Rows were written to the outbox.
    pub(crate) events: bool,
    /// What gateways are to look at.
    pub(crate) hints: Vec<Hint>,
}

impl Effects {
    /// Adds those of another step.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events |= other.events;
        self.hints.extend(other.hints);
    }

    /// Tells.
    pub(crate) fn announce(self, state: &State) {
        if self.events {
            state.outbox.wake();
        }
        for hint in self.hints {
            state.live.hint(hint);
        }
    }
}

/// Names the state of a room's manifest, different for each change of it and each closing: what follows from it once follows once.
pub(crate) fn cause(owner_uid: &str, generation: i64, hash: &str, closing: Option<Uuid>) -> String {
    format!("{owner_uid}/{generation}/{hash}/{}", closing.unwrap_or_default())
}

/// Key of the event that says `what` of a room.
pub(crate) fn key(room: Uuid, what: &str) -> Uuid {
    Uuid::new_v5(&room, what.as_bytes())
}

/// The event that says what a room is now; its key is `key`.
pub(crate) fn room_event(room: &LockedRoom, key: Uuid, open: bool) -> NewRow {
    let body = Body::Room {
        display_name: room.display_name.clone(),
        topic: room.topic.clone(),
        visibility: room.visibility,
        open,
    };
    NewRow { room: room.id, sender: None, key, body }
}
