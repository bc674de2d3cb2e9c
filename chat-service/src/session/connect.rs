//! The first command: whose socket it is, and the rooms that it goes on with. A slow room delays nobody: each has its own time.

use crate::error::Refused;
use crate::log::Subscribed;
use crate::log::frame::Frame;
use crate::log::outlet::{Inlet, Outlet, outlet};
use crate::rooms::access::Wish;
use crate::rooms::names;
use crate::rooms::subscribe::{At, follow};
use crate::session::command::{Connect, Wanted};
use crate::session::say;
use crate::session::subscriptions::Beginning;
use crate::state::State;
use crate::store::rooms::RoomRow;
use bytes::Bytes;
use contract::event::User;
use contract::room::RoomName;
use futures::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokens::{Person, TokenError};
use tokio::time::{Instant, timeout, timeout_at};

/// How long the reply waits for a room: the 2 s that a gateway may be behind, and a little.
const ROOM_LIMIT: Duration = Duration::from_millis(2_500);
/// How long it may take to find out whether a manifest names this person.
const NAMES_LIMIT: Duration = Duration::from_secs(1);
/// Events in one reply, all rooms together.
const REPLY_BYTES: usize = 1024 * 1024;
/// Events that rooms may have ready for a socket that has not taken them: several full batches, which it shares with the others.
const OUTLET_BYTES: usize = 1024 * 1024;

/// Somebody who is let in.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) person: Person,
    pub(super) outlet: Outlet,
    pub(super) inlet: Inlet,
    rooms: Vec<Arrival>,
}

/// One of the rooms, as the client wrote it.
#[derive(Debug)]
struct Arrival {
    name: String,
    at: At,
    outcome: Result<(Arc<RoomRow>, Subscribed), Refused>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The token is not good.
    Token(TokenError),
    /// The session was ended.
    Revoked,
}

/// Checks the token and subscribes to the rooms.
pub(super) async fn connect(state: &State, command: Connect) -> Result<Arrived, Rejected> {
    let person = verify(state, &command.token).await?;
    let user = User { id: person.user, username: person.username.clone(), display_name: person.display_name.clone() };
    // A manifest may have named this person before they were there. Where it cannot be found out now it is later.
    timeout(NAMES_LIMIT, names::resolve_for(state, &user)).await.ok();
    let (outlet, inlet) = outlet(OUTLET_BYTES);
    let rooms = subscribe_all(state, &person, command.rooms, &outlet).await;
    Ok(Arrived { person, outlet, inlet, rooms })
}

/// Whose token this is.
pub(super) async fn verify(state: &State, token: &str) -> Result<Person, Rejected> {
    let person = state.verifier.person(token).await.map_err(Rejected::Token)?;
    if state.users.is_revoked(person.session) {
        return Err(Rejected::Revoked);
    }
    Ok(person)
}

async fn subscribe_all(state: &State, person: &Person, wanted: Vec<Wanted>, outlet: &Outlet) -> Vec<Arrival> {
    let end = Instant::now() + ROOM_LIMIT;
    let names: Vec<RoomName> =
        wanted.iter().filter_map(|one| one.place.as_ref().ok()).map(|(name, _)| name.clone()).collect();
    let late = Refused::Unavailable("timeout");
    let mut allowed = match timeout_at(end, state.access.ask_all(Wish::Read, person.user, &names)).await {
        Ok(allowed) => allowed.into_iter(),
        Err(_) => vec![Err(late.clone()); names.len()].into_iter(),
    };
    let subscribing = wanted.into_iter().map(|Wanted { room: name, place }| {
        let allowed = place.and_then(|(_, at)| Ok((allowed.next().unwrap_or(Err(late.clone()))?, at)));
        let late = late.clone();
        async move {
            match allowed {
                Err(refused) => Arrival { name, at: At::default(), outcome: Err(refused) },
                Ok((room, at)) => {
                    let following = timeout_at(end, follow(state, &room, at.clone(), outlet)).await;
                    let outcome = following.unwrap_or(Err(late)).map(|subscribed| (room, subscribed));
                    Arrival { name, at, outcome }
                }
            }
        }
    });
    join_all(subscribing).await
}

impl Arrived {
    /// The reply, and the subscriptions that begin with it. Events that do not fit follow by themselves.
    pub(super) fn reply(&mut self, id: u64) -> (Bytes, Vec<Beginning>) {
        let mut budget = REPLY_BYTES;
        let mut rooms = Vec::new();
        let mut beginnings = Vec::new();
        for Arrival { name, at, outcome } in std::mem::take(&mut self.rooms) {
            match outcome {
                Ok((room, subscribed)) => {
                    let (text, beginning) = begin(&name, &at, &room, subscribed, &mut budget);
                    rooms.push(text);
                    beginnings.push(beginning);
                }
                Err(refused) => rooms.push(say::room_refused(&name, &refused.into())),
            }
        }
        let person = &self.person;
        let head = json!({
            "session": person.session,
            "user": {"id": person.user, "username": person.username, "display_name": person.display_name},
            "ping_ms": u64::try_from(super::deadlines::PING_EVERY.as_millis()).unwrap_or(u64::MAX),
            "server_time": service::clock::now_rfc3339_ms(),
        });
        (say::connected(id, &head, &rooms), beginnings)
    }
}

/// The ROOM of a subscription, with as many events as the reply may still hold.
pub(super) fn begin(
    name: &str,
    at: &At,
    room: &RoomRow,
    subscribed: Subscribed,
    budget: &mut usize,
) -> (String, Beginning) {
    let Subscribed { cursor, epoch, pos, recovered, mut events, more } = subscribed;
    let fitting = fitting(&events, budget);
    let rest = events.split_off(fitting);
    let pos = if rest.is_empty() { pos } else { events.last().map_or(at.pos.unwrap_or(pos), |frame| frame.at.pos) };
    let said = say::Room { name, epoch: &epoch, pos, recovered, events: &events, more: more || !rest.is_empty() };
    let text = say::room(&said);
    let id = cursor.id();
    (text, Beginning { room: room.key.clone(), cursor: (id, cursor), epoch, pos, rest, more })
}

fn fitting(events: &[Arc<Frame>], budget: &mut usize) -> usize {
    let mut count = 0;
    for frame in events {
        let Some(left) = budget.checked_sub(frame.push.len()) else { break };
        *budget = left;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::position::LogPosition;

    #[test]
    fn a_reply_holds_what_fits_and_no_event_behind_one_that_does_not() {
        let events: Vec<Arc<Frame>> =
            [10, 2000, 10].iter().map(|size| Frame::stored(LogPosition::new(1, 1), &"x".repeat(*size))).collect();
        let mut budget = 1000;
        assert_eq!(fitting(&events, &mut budget), 1);
        assert!(budget < 1000 && budget > 900);
        assert_eq!(fitting(&events[..1], &mut budget), 1);
    }
}
