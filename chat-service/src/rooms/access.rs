//! Who may read and write where: knowledge at most 5 s old. Only what allows is remembered; a refusal is always read afresh.
//! While PostgreSQL is away, what was known goes on.

use crate::error::Refused;
use crate::log::RoomKey;
use crate::store::members;
use crate::store::rooms::{self, RoomRow};
use contract::event::{Role, Visibility};
use contract::room::RoomName;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// How old knowledge may be that lets somebody in.
const FRESH: Duration = Duration::from_secs(5);
/// While PostgreSQL is away it is asked so often, by one at a time; everybody else has what was known.
const PAUSE: Duration = Duration::from_secs(1);
/// Where something was known nobody waits longer than this for something newer.
const KNOWN_LIMIT: Duration = Duration::from_secs(1);
/// A frozen PostgreSQL answers nothing, not even that a query took too long.
const LIMIT: Duration = Duration::from_secs(3);
/// Most answers of one kind that are kept.
const MOST: usize = 200_000;
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
    rooms: Mutex<Memory<RoomName, Arc<RoomRow>>>,
    /// By room and person.
    roles: Mutex<Memory<(Uuid, Uuid), Role>>,
    /// Goes up with everything that is forgotten: an answer that was asked for before is not kept.
    forgotten: AtomicU64,
    /// Goes up with everything that may be wrong: an answer that was asked for before may be, too.
    expired: AtomicU64,
    outage: Mutex<Outage>,
}

/// Whether PostgreSQL is away, as far as it was noticed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    None,
    /// To be looked at again from then on.
    Since(Instant),
}

/// How much was forgotten, and how much may be wrong, so far.
#[derive(Debug, Clone, Copy)]
struct Turn {
    forgotten: u64,
    expired: u64,
}

/// Rooms by address, each with the person's role.
type Found = HashMap<RoomName, (Arc<RoomRow>, Option<Role>)>;

/// Answers, each with its time; none where it may be wrong by now: then it serves only while nothing better is to be had.
#[derive(Debug)]
struct Memory<K, V> {
    known: HashMap<K, (V, Option<Instant>)>,
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    fn get(&self, key: &K, age: Option<Duration>) -> Option<V> {
        let (value, at) = self.known.get(key)?;
        age.is_none_or(|age| is_younger(*at, age)).then(|| value.clone())
    }

    /// What may be wrong by now (no time) takes the place of nothing better.
    fn put(&mut self, key: K, value: V, at: Option<Instant>) {
        if at.is_none() && self.known.get(&key).is_some_and(|(_, known_at)| known_at.is_some()) {
            return;
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, (_, at)| is_younger(*at, FRESH));
        }
        if self.known.len() < MOST {
            self.known.insert(key, (value, at));
        }
    }
}

fn is_younger(at: Option<Instant>, age: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < age)
}

impl Access {
    /// Knows nothing yet.
    pub(crate) fn new(pool: PgPool) -> Self {
        let inner = Inner {
            pool,
            rooms: Mutex::new(Memory { known: HashMap::new() }),
            roles: Mutex::new(Memory { known: HashMap::new() }),
            forgotten: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            outage: Mutex::new(Outage::None),
        };
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
        self.inner.expired.fetch_add(1, Ordering::AcqRel);
        let mut rooms = lock(&self.inner.rooms);
        rooms.known.values_mut().filter(|(row, _)| row.key.id == room).for_each(|(_, at)| *at = None);
        drop(rooms);
        let mut roles = lock(&self.inner.roles);
        roles.known.iter_mut().filter(|((of, _), _)| *of == room).for_each(|(_, (_, at))| *at = None);
    }

    /// What is known of this person in this room may be wrong: it is asked for again.
    pub(crate) fn expire_member(&self, room: Uuid, user: Uuid) {
        self.inner.expired.fetch_add(1, Ordering::AcqRel);
        if let Some((_, at)) = lock(&self.inner.roles).known.get_mut(&(room, user)) {
            *at = None;
        }
    }

    /// This room is private now: what was known of it serves nobody any longer.
    pub(crate) fn forget_room(&self, room: Uuid) {
        self.inner.forgotten.fetch_add(1, Ordering::AcqRel);
        lock(&self.inner.rooms).known.retain(|_, (row, _)| row.key.id != room);
    }

    /// This person has left this room: what was known does not serve any longer.
    pub(crate) fn forget_member(&self, room: Uuid, user: Uuid) {
        self.inner.forgotten.fetch_add(1, Ordering::AcqRel);
        lock(&self.inner.roles).known.remove(&(room, user));
    }

    fn remembered(&self, wish: Wish, user: Uuid, name: &RoomName, age: Option<Duration>) -> Option<Arc<RoomRow>> {
        let room = lock(&self.inner.rooms).get(name, age)?;
        let role = lock(&self.inner.roles).get(&(room.key.id, user), age);
        decide(wish, Some(&room), role).is_ok().then_some(room)
    }

    /// Asks PostgreSQL, unless it is away and somebody else looks whether it is back.
    async fn read_or_not(&self, user: Uuid, names: &[RoomName], limit: Duration) -> Result<Found, Refused> {
        if !self.may_ask() {
            return Err(Refused::Unavailable("database"));
        }
        self.read(user, names, limit).await
    }

    /// While PostgreSQL is away true for one caller now and then, who finds out whether it is back.
    fn may_ask(&self) -> bool {
        let now = Instant::now();
        let mut outage = lock(&self.inner.outage);
        match *outage {
            Outage::None => true,
            Outage::Since(next) if now < next => false,
            Outage::Since(_) => {
                *outage = Outage::Since(now + PAUSE);
                true
            }
        }
    }

    async fn read(&self, user: Uuid, names: &[RoomName], limit: Duration) -> Result<Found, Refused> {
        let turn = self.turn();
        let asking = timeout(limit, rooms::by_names(&self.inner.pool, names, user));
        let rows = asking.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        self.note(rows.as_ref().err());
        let rows = rows.map_err(|error| Refused::database(&error))?;
        for (room, role) in &rows {
            self.remember(turn, room.clone(), role.map(|role| (user, role)));
        }
        Ok(rows.into_iter().map(|(room, role)| (room.key.name.clone(), (room, role))).collect())
    }

    fn note(&self, error: Option<&sqlx::Error>) {
        let outage = match error {
            Some(_) => Outage::Since(Instant::now() + PAUSE),
            None => Outage::None,
        };
        *lock(&self.inner.outage) = outage;
    }

    fn turn(&self) -> Turn {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Turn { forgotten: count(&self.inner.forgotten), expired: count(&self.inner.expired) }
    }

    /// Keeps an answer that was asked for at `then`.
    fn remember(&self, then: Turn, room: Arc<RoomRow>, member: Option<(Uuid, Role)>) {
        let now = self.turn();
        if now.forgotten != then.forgotten {
            return;
        }
        let at = (now.expired == then.expired).then(Instant::now);
        if let Some((user, role)) = member {
            lock(&self.inner.roles).put((room.key.id, user), role, at);
        }
        lock(&self.inner.rooms).put(room.key.name.clone(), room, at);
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

    #[tokio::test]
    async fn while_postgresql_is_away_one_looks_for_it_and_the_others_do_not_wait() {
        let access = Access::new(PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap());
        assert!(access.may_ask() && access.may_ask());
        access.note(Some(&sqlx::Error::PoolTimedOut));
        assert!(!access.may_ask());
        *lock(&access.inner.outage) = Outage::Since(Instant::now());
        assert!(access.may_ask() && !access.may_ask());
        access.note(None);
        assert!(access.may_ask() && access.may_ask());
    }

    #[tokio::test]
    async fn an_answer_that_was_asked_for_before_something_was_forgotten_is_not_kept() {
        let access = Access::new(PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap());
        let row = Arc::new(room(Visibility::Public, true));
        let turn = access.turn();
        access.forget_member(Uuid::nil(), Uuid::nil());
        access.remember(turn, row.clone(), None);
        assert_eq!(access.remembered(Wish::Read, Uuid::nil(), &row.key.name, None), None);
        access.remember(access.turn(), row.clone(), None);
        assert_eq!(access.remembered(Wish::Read, Uuid::nil(), &row.key.name, Some(FRESH)), Some(row.clone()));
        // What may be wrong is not fresh, and serves only while nothing better is to be had.
        access.expire_room(row.key.id);
        assert_eq!(access.remembered(Wish::Read, Uuid::nil(), &row.key.name, Some(FRESH)), None);
        assert_eq!(access.remembered(Wish::Read, Uuid::nil(), &row.key.name, None), Some(row.clone()));
        access.forget_room(row.key.id);
        assert_eq!(access.remembered(Wish::Read, Uuid::nil(), &row.key.name, None), None);
    }

    #[tokio::test]
    async fn an_answer_that_was_asked_for_before_something_expired_serves_only_while_nothing_better_is_to_be_had() {
        let access = Access::new(PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap());
        let (row, closed) = (Arc::new(room(Visibility::Public, true)), Arc::new(room(Visibility::Public, false)));
        let remembered = |age| access.remembered(Wish::Read, Uuid::nil(), &row.key.name, age);
        let turn = access.turn();
        access.expire_member(Uuid::nil(), Uuid::nil());
        access.remember(turn, row.clone(), None);
        assert_eq!((remembered(Some(FRESH)), remembered(None)), (None, Some(row.clone())));
        access.remember(access.turn(), closed.clone(), None);
        access.remember(turn, row.clone(), None);
        assert_eq!(remembered(Some(FRESH)), Some(closed));
    }
}
