//! What changes under open sockets: ended sessions, rooms and members. Heard at once from user-service, from the logs and from
//! other gateways; whatever was not heard is found in PostgreSQL within 5 s.

use crate::live::Hint;
use crate::log::RoomNotice;
use crate::log::frame::Notice;
use crate::state::State;
use contract::event::{MemberChange, Visibility};
use service::shutdown::Shutdown;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// How often all that is read here is compared with PostgreSQL.
const EVERY: Duration = Duration::from_secs(4);
/// How long hints about rooms are gathered before they are looked at.
const GATHER: Duration = Duration::from_millis(100);

/// Runs until the program stops.
pub(crate) async fn run(state: State, shutdown: Shutdown) {
    tokio::select! {
        () = shutdown.begun() => {}
        () = follow_revocations(&state) => {}
        () = follow_hints(&state) => {}
        () = follow_notices(&state) => {}
        () = compare(&state) => {}
    }
}

async fn follow_revocations(state: &State) {
    let mut revocations = state.users.revocations();
    loop {
        match revocations.recv().await {
            Ok(session) => state.sockets.revoke(session),
            Err(RecvError::Lagged(_)) => state.sockets.revoke_where(|session| state.users.is_revoked(session)),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn follow_hints(state: &State) {
    let mut hints = state.live.hints();
    let mut changed: HashSet<Uuid> = HashSet::new();
    let mut tick = interval(GATHER);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            hint = hints.recv() => match hint {
                Ok(Hint::RoomsChanged { user, room }) => state.sockets.rooms_changed(user, &room),
                Ok(Hint::RoomChanged { room }) => {
                    state.access.expire_room(room);
                    changed.insert(room);
                }
                // What was missed is found by comparing.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            },
            _ = tick.tick(), if !changed.is_empty() => {
                let changed = std::mem::take(&mut changed);
                doubt(state, |room| changed.contains(&room)).await;
            }
        }
    }
}

async fn follow_notices(state: &State) {
    let mut notices = state.logs.notices();
    loop {
        match notices.recv().await {
            // Whoever reads the room hears it in order with the events; here only what was known is forgotten.
            Ok(RoomNotice { room, notice: Notice::Member { user, change: MemberChange::Left } }) => {
                state.access.forget_member(room.id, user);
            }
            Ok(RoomNotice { room, notice: Notice::Member { user, .. } }) => state.access.expire_member(room.id, user),
            Ok(RoomNotice { room, notice: Notice::Room { visibility: Visibility::Private } }) => {
                state.access.forget_room(room.id);
            }
            Ok(RoomNotice { room, notice: Notice::Room { .. } }) => state.access.expire_room(room.id),
            // What is known is 5 s old at most in any case.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn compare(state: &State) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        doubt(state, |_| true).await;
    }
}

/// Looks at the rooms that are read here, and tells the sockets that may be out.
async fn doubt(state: &State, which: impl Fn(Uuid) -> bool) {
    let mut pairs = state.sockets.readers();
    pairs.retain(|(room, _)| which(*room));
    if pairs.is_empty() {
        return;
    }
    match state.access.lost(&pairs).await {
        Ok(lost) => lost.into_iter().for_each(|(room, user)| state.sockets.doubt(room, user)),
        // PostgreSQL is away: what was known goes on.
        Err(error) => tracing::debug!(%error, "who may read what could not be compared"),
    }
}
