//! What a socket waits for: each command's work as a future of its own, so that no command waits for another's.

use crate::error::Refused;
use crate::log::outlet::Outlet;
use crate::log::{Cursor, Pulled, RoomKey, SubscribeError, Subscribed};
use crate::rooms::page::Asked;
use crate::rooms::post::NewMessage;
use crate::rooms::read::Pointer;
use crate::rooms::subscribe::At;
use crate::rooms::{page, post, read, subscribe};
use crate::session::command::Connect;
use crate::session::connect::{self, Arrived, Rejected};
use crate::session::pointers::Batch;
use crate::session::turns::Turn;
use crate::state::State;
use crate::store::read_pointers;
use crate::store::rooms::RoomRow;
use contract::event::User;
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokens::Person;
use tokio::time::timeout;
use uuid::Uuid;

/// How long what is asked of PostgreSQL may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Work on its way.
pub(super) type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Work that is done.
#[derive(Debug)]
pub(super) enum Done {
    Connected {
        id: u64,
        outcome: Result<Box<Arrived>, Rejected>,
    },
    Refreshed {
        id: u64,
        outcome: Result<Person, Rejected>,
    },
    Subscribed {
        id: u64,
        at: At,
        outcome: Result<(Arc<RoomRow>, Subscribed), Refused>,
    },
    Unsubscribe {
        id: u64,
        room: RoomName,
    },
    /// JSON for the reply.
    Answered {
        id: u64,
        outcome: Result<String, Refused>,
        weight: usize,
    },
    Pointed {
        id: u64,
        outcome: Result<Pointer, Refused>,
    },
    PointersStored {
        commands: Vec<u64>,
        outcome: Result<(), Refused>,
    },
    Pulled {
        cursor: u64,
        room: Uuid,
        outcome: Result<Pulled, SubscribeError>,
    },
    Checked {
        room: Uuid,
        may_read: bool,
    },
}

pub(super) fn connect(state: State, id: u64, command: Connect) -> Work {
    Box::pin(async move { Done::Connected { id, outcome: connect::connect(&state, command).await.map(Box::new) } })
}

pub(super) fn refresh(state: State, id: u64, token: String) -> Work {
    Box::pin(async move { Done::Refreshed { id, outcome: connect::verify(&state, &token).await } })
}

pub(super) fn subscribe(
    state: State,
    id: u64,
    user: Uuid,
    room: RoomName,
    at: At,
    outlet: Outlet,
    mut turn: Turn,
) -> Work {
    Box::pin(async move {
        turn.come().await;
        let outcome = subscribe::subscribe(&state, user, &room, at.clone(), &outlet).await;
        Done::Subscribed { id, at, outcome }
    })
}

/// Behind the subscriptions of this room that came before. Nobody learns here whether a room exists.
pub(super) fn unsubscribe(id: u64, room: RoomName, mut turn: Turn) -> Work {
    Box::pin(async move {
        turn.come().await;
        Done::Unsubscribe { id, room }
    })
}

pub(super) fn send(state: State, id: u64, user: User, room: RoomName, message: NewMessage, mut turn: Turn) -> Work {
    Box::pin(async move {
        let outcome = async {
            // What has to be found out is found out at once for all; their order is that of the log's queue.
            let allowed = post::allow(&state, &user, &room, message).await?;
            turn.come().await;
            let saying = post::say(&state.logs, allowed);
            drop(turn);
            json(&saying.await?)
        };
        Done::Answered { id, outcome: outcome.await, weight: 1 }
    })
}

pub(super) fn history(state: State, id: u64, user: Uuid, room: RoomName, asked: Asked, weight: usize) -> Work {
    Box::pin(async move {
        let outcome = limited(async { json(&page::page(&state, user, &room, &asked).await?) });
        Done::Answered { id, outcome: outcome.await, weight }
    })
}

pub(super) fn point(state: State, id: u64, user: Uuid, room: RoomName, epoch: Option<Epoch>, pos: u64) -> Work {
    Box::pin(async move {
        let outcome = limited(read::check(&state, user, &room, epoch, pos)).await;
        Done::Pointed { id, outcome }
    })
}

pub(super) fn store_pointers(state: State, user: Uuid, batch: Batch) -> Work {
    Box::pin(async move {
        let pointers: Vec<(Uuid, LogPosition)> = batch.pointers.into_iter().collect();
        let storing = read_pointers::advance(&state.pool, user, &pointers);
        let outcome = limited(async { storing.await.map_err(|error| Refused::database(&error)) }).await;
        Done::PointersStored { commands: batch.commands, outcome }
    })
}

pub(super) fn pull(state: State, id: u64, room: Uuid, cursor: Arc<Cursor>) -> Work {
    Box::pin(async move { Done::Pulled { cursor: id, room, outcome: state.logs.pull(&cursor).await } })
}

/// A frozen PostgreSQL must not keep a command for ever.
async fn limited<T>(work: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    timeout(LIMIT, work).await.unwrap_or(Err(Refused::Unavailable("timeout")))
}

/// Where it cannot be known, what the log said counts: out.
pub(super) fn check(state: State, user: Uuid, room: RoomKey) -> Work {
    Box::pin(async move {
        let may_read = state.access.may_still_read(user, &room).await.unwrap_or(false);
        Done::Checked { room: room.id, may_read }
    })
}

fn json(answer: &impl serde::Serialize) -> Result<String, Refused> {
    serde_json::to_string(answer).map_err(|error| {
        tracing::error!(%error, "failed to encode an answer");
        Refused::Internal
    })
}
