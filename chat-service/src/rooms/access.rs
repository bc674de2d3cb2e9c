//! Who may read and write where: knowledge at most 5 s old. Only what allows is remembered; a refusal is always read afresh.
//! While PostgreSQL is away, what was known goes on.

mod known;
mod outage;

use crate::error::Refused;
use crate::log::RoomKey;
use crate::store::members;
use crate::store::rooms::{self, RoomRow};
use contract::event::{Role, Visibility};
use contract::room::RoomName;
use known::{Known, Turn};
use outage::Outage;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// How old knowledge may be that lets somebody in.
const FRESH: Duration = Duration::from_secs(5);
/// Where something was known nobody waits longer than this for something newer.
const KNOWN_LIMIT: Duration = Duration::from_secs(1);
/// A frozen PostgreSQL answers nothing, not even that a query took too long.
const LIMIT: Duration = Duration::from_secs(3);
/// Pairs asked for in one query.
const CHUNK: usize = 5_000;

/// What somebody wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// See it.
    Read,
    /// Say something in it.
    Write,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    known: Mutex<Known>,
    outage: Mutex<Outage>,
}

/// Rooms by address, each with the person's role.
type Found = HashMap<RoomName, (Arc<RoomRow>, Option<Role>)>;

impl Access {
    /// Knows nothing yet.
    pub(crate) fn new(pool: PgPool) -> Self {
        let inner = Inner { pool, known: Mutex::default(), outage: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The room, if this person may do that in it.
    pub(crate) async fn ask(&self, wish: Wish, user: Uuid, name: &RoomName) -> Result<Arc<RoomRow>, Refused> {
        let mut answers = self.ask_all(wish, user, std::slice::from_ref(name)).await;
        answers.pop().unwrap_or(Err(Refused::NotFound("room")))
    }

    /// The same for several rooms, with at most one query.
    pub(crate) async fn ask_all(
        &self,
        wish: Wish,
        user: Uuid,
        names: &[RoomName],
    ) -> Vec<Result<Arc<RoomRow>, Refused>> {
        let mut answers: Vec<Option<Result<Arc<RoomRow>, Refused>>> =
            names.iter().map(|name| self.remembered(wish, user, name, Some(FRESH)).map(Ok)).collect();
        let open: Vec<RoomName> =
            names.iter().zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(name, _)| name.clone()).collect();
        if !open.is_empty() {
            let known = open.iter().all(|name| self.remembered(wish, user, name, None).is_some());
            let found = self.read_or_not(user, &open, if known { KNOWN_LIMIT } else { LIMIT }).await;
            for (name, answer) in names.iter().zip(&mut answers) {
                answer.get_or_insert_with(|| match &found {
                    Ok(found) => {
                        let (room, role) = found.get(name).map_or((None, None), |(room, role)| (Some(room), *role));
                        decide(wish, room.map(AsRef::as_ref), role).and(room.cloned().ok_or(Refused::NotFound("room")))
                    }
                    Err(refused) => self.remembered(wish, user, name, None).ok_or_else(|| refused.clone()),
                });
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Refused::NotFound("room")))).collect()
    }

    /// Whether this person may still read, asked afresh. `None`: it cannot be known now.
    pub(crate) async fn may_still_read(&self, user: Uuid, room: &RoomKey) -> Option<bool> {
        let found = self.read(user, std::slice::from_ref(&room.name), LIMIT).await.ok()?;
        // Another room may have the name by now.
        let found = found.get(&room.name).filter(|(found, _)| found.key.id == room.id);
        Some(found.is_some_and(|(room, role)| decide(Wish::Read, Some(room), *role).is_ok()))
    }

    /// Of these (room, person) pairs those that may read no longer. Refreshes what is known of the rooms.
    pub(crate) async fn lost(&self, pairs: &[(Uuid, Uuid)]) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
        let ids: Vec<Uuid> = pairs.iter().map(|(room, _)| *room).collect::<HashSet<_>>().into_iter().collect();
        let turn = self.turn();
        let mut found = HashMap::new();
        for chunk in ids.chunks(CHUNK) {
            for room in rooms::by_ids(&self.inner.pool, chunk).await? {
                found.insert(room.key.id, room.visibility);
                self.remember(turn, room, None);
            }
        }
        let private: Vec<(Uuid, Uuid)> =
            pairs.iter().filter(|(room, _)| found.get(room) == Some(&Visibility::Private)).copied().collect();
        let mut members = HashSet::new();
        for chunk in private.chunks(CHUNK) {
            let (rooms, users): (Vec<Uuid>, Vec<Uuid>) = chunk.iter().copied().unzip();
            members.extend(members::of_pairs(&self.inner.pool, &rooms, &users).await?);
        }
        let lost = |pair: &&(Uuid, Uuid)| match found.get(&pair.0) {
            None => true,
            Some(Visibility::Public) => false,
            Some(Visibility::Private) => !members.contains(*pair),
        };
        Ok(pairs.iter().filter(lost).copied().collect())
    }

    /// What is known of this room, its members included, may be wrong: it is asked for again.
    pub(crate) fn expire_room(&self, room: Uuid) {
        lock(&self.inner.known).expire_room(room);
    }

    /// What is known of this person in this room may be wrong: it is asked for again.
    pub(crate) fn expire_member(&self, room: Uuid, user: Uuid) {
        lock(&self.inner.known).expire_member(room, user);
    }

    /// This room is private now: what was known of it serves nobody any longer.
    pub(crate) fn forget_room(&self, room: Uuid) {
        lock(&self.inner.known).forget_room(room);
    }

    /// This person has left this room: what was known does not serve any longer.
    pub(crate) fn forget_member(&self, room: Uuid, user: Uuid) {
        lock(&self.inner.known).forget_member(room, user);
    }

    fn remembered(&self, wish: Wish, user: Uuid, name: &RoomName, age: Option<Duration>) -> Option<Arc<RoomRow>> {
        let (room, role) = lock(&self.inner.known).get(user, name, age)?;
        decide(wish, Some(&room), role).is_ok().then_some(room)
    }

    /// Asks PostgreSQL, unless it is away and somebody else looks whether it is back.
    async fn read_or_not(&self, user: Uuid, names: &[RoomName], limit: Duration) -> Result<Found, Refused> {
        if !lock(&self.inner.outage).may_ask(Instant::now()) {
            return Err(Refused::Unavailable("database"));
        }
        self.read(user, names, limit).await
    }

    async fn read(&self, user: Uuid, names: &[RoomName], limit: Duration) -> Result<Found, Refused> {
        let turn = self.turn();
        let asking = timeout(limit, rooms::by_names(&self.inner.pool, names, user));
        let rows = asking.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        lock(&self.inner.outage).note(rows.is_err(), Instant::now());
        let rows = rows.map_err(|error| Refused::database(&error))?;
        for (room, role) in &rows {
            self.remember(turn, room.clone(), role.map(|role| (user, role)));
        }
        Ok(rows.into_iter().map(|(room, role)| (room.key.name.clone(), (room, role))).collect())
    }

    fn turn(&self) -> Turn {
        lock(&self.inner.known).turn()
    }

    fn remember(&self, then: Turn, room: Arc<RoomRow>, member: Option<(Uuid, Role)>) {
        lock(&self.inner.known).put(then, room, member);
    }
}

/// The rule itself.
fn decide(wish: Wish, room: Option<&RoomRow>, role: Option<Role>) -> Result<(), Refused> {
    let room = room.ok_or(Refused::NotFound("room"))?;
    if room.visibility == Visibility::Private && role.is_none() {
        return Err(Refused::NotFound("room"));
    }
    if wish == Wish::Read {
        return Ok(());
    }
    if !room.open {
        return Err(Refused::Closed);
    }
    match role {
        None => Err(Refused::Forbidden("join the room before you say something in it")),
        Some(role) if !role.may_send() => Err(Refused::Forbidden("your role in this room is to read")),
        Some(_) => Ok(()),
    }
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(visibility: Visibility, open: bool) -> RoomRow {
        let key = RoomKey { id: Uuid::nil(), name: "team-a/general".parse().unwrap() };
        RoomRow { key, visibility, open, message_bytes: 8192, messages_per_second: 10, burst: 20 }
    }

    #[test]
    fn a_private_room_is_not_there_for_those_outside() {
        let private = room(Visibility::Private, true);
        for wish in [Wish::Read, Wish::Write] {
            assert_eq!(decide(wish, Some(&private), None), Err(Refused::NotFound("room")));
            assert_eq!(decide(wish, None, Some(Role::Owner)), Err(Refused::NotFound("room")));
            assert_eq!(decide(wish, Some(&private), Some(Role::Member)), Ok(()));
        }
        // Not even that it is closed.
        assert_eq!(decide(Wish::Write, Some(&room(Visibility::Private, false)), None), Err(Refused::NotFound("room")));
    }

    #[test]
    fn a_public_room_is_read_by_all_and_written_by_members_that_may() {
        let public = room(Visibility::Public, true);
        assert_eq!(decide(Wish::Read, Some(&public), None), Ok(()));
        assert!(matches!(decide(Wish::Write, Some(&public), None), Err(Refused::Forbidden(_))));
        assert!(matches!(decide(Wish::Write, Some(&public), Some(Role::ReadOnly)), Err(Refused::Forbidden(_))));
        for role in [Role::Owner, Role::Moderator, Role::Member] {
            assert_eq!(decide(Wish::Write, Some(&public), Some(role)), Ok(()));
        }
    }

    #[test]
    fn a_closed_room_is_read_and_not_written() {
        let closed = room(Visibility::Public, false);
        assert_eq!(decide(Wish::Read, Some(&closed), None), Ok(()));
        assert_eq!(decide(Wish::Write, Some(&closed), Some(Role::Owner)), Err(Refused::Closed));
    }
}
