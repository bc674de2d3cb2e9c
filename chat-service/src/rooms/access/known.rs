//! What was answered about rooms and people in them, with its age. Pure but for the clock.

use crate::store::rooms::RoomRow;
use contract::event::Role;
use contract::room::RoomName;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Most answers of one kind that are kept.
const MOST: usize = 200_000;

/// Rooms by address, and roles in them.
#[derive(Debug, Default)]
pub(super) struct Known {
    rooms: Memory<RoomName, Arc<RoomRow>>,
    /// By room and person.
    roles: Memory<(Uuid, Uuid), Role>,
    turn: Turn,
}

/// How often something was forgotten, and how often something may have become wrong, so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Turn {
    forgotten: u64,
    expired: u64,
}

impl Known {
    /// Taken before something is asked.
    pub(super) fn turn(&self) -> Turn {
        self.turn
    }

    /// A room and what this person is in it, if that is known and young enough; at any age without one.
    pub(super) fn get(
        &self,
        user: Uuid,
        name: &RoomName,
        age: Option<Duration>,
    ) -> Option<(Arc<RoomRow>, Option<Role>)> {
        let room = self.rooms.get(name, age)?;
        let role = self.roles.get(&(room.key.id, user), age);
        Some((room, role))
    }

    /// Keeps an answer that was asked for at `then`: not if something was forgotten since, and as one that may be wrong if something
    /// expired.
    pub(super) fn put(&mut self, then: Turn, room: Arc<RoomRow>, member: Option<(Uuid, Role)>) {
        if self.turn.forgotten != then.forgotten {
            return;
        }
        let at = (self.turn.expired == then.expired).then(Instant::now);
        if let Some((user, role)) = member {
            self.roles.put((room.key.id, user), role, at);
        }
        self.rooms.put(room.key.name.clone(), room, at);
    }

    /// What is known of this room, its members included, may be wrong.
    pub(super) fn expire_room(&mut self, room: Uuid) {
        self.turn.expired += 1;
        self.rooms.known.values_mut().filter(|(row, _)| row.key.id == room).for_each(|(_, at)| *at = None);
        self.roles.known.iter_mut().filter(|((of, _), _)| *of == room).for_each(|(_, (_, at))| *at = None);
    }

    /// What is known of this person in this room may be wrong.
    pub(super) fn expire_member(&mut self, room: Uuid, user: Uuid) {
        self.turn.expired += 1;
        if let Some((_, at)) = self.roles.known.get_mut(&(room, user)) {
            *at = None;
        }
    }

    /// What was known of this room does not serve any longer.
    pub(super) fn forget_room(&mut self, room: Uuid) {
        self.turn.forgotten += 1;
        self.rooms.known.retain(|_, (row, _)| row.key.id != room);
    }

    /// What was known of this person in this room does not serve any longer.
    pub(super) fn forget_member(&mut self, room: Uuid, user: Uuid) {
        self.turn.forgotten += 1;
        self.roles.known.remove(&(room, user));
    }
}

/// Answers, each with its time; none where it may be wrong by now: then it serves only while nothing better is to be had.
#[derive(Debug)]
struct Memory<K, V> {
    known: HashMap<K, (V, Option<Instant>)>,
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
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
            self.known.retain(|_, (_, at)| is_younger(*at, super::FRESH));
        }
        if self.known.len() < MOST {
            self.known.insert(key, (value, at));
        }
    }
}

fn is_younger(at: Option<Instant>, age: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::RoomKey;
    use contract::event::Visibility;

    const SOME_TIME: Duration = Duration::from_mins(1);

    fn room(open: bool) -> Arc<RoomRow> {
        let key = RoomKey { id: Uuid::nil(), name: "team-a/general".parse().unwrap() };
        let visibility = Visibility::Public;
        Arc::new(RoomRow { key, visibility, open, message_bytes: 8192, messages_per_second: 10, burst: 20 })
    }

    /// What is known and young, and what is known at all.
    fn both(known: &Known, row: &RoomRow) -> (Option<Arc<RoomRow>>, Option<Arc<RoomRow>>) {
        let get = |age| known.get(Uuid::nil(), &row.key.name, age).map(|(room, _)| room);
        (get(Some(SOME_TIME)), get(None))
    }

    #[test]
    fn an_answer_that_was_asked_for_before_something_was_forgotten_is_not_kept() {
        let (mut known, row) = (Known::default(), room(true));
        let turn = known.turn();
        known.forget_member(Uuid::nil(), Uuid::nil());
        known.put(turn, row.clone(), None);
        assert_eq!(both(&known, &row), (None, None));
        known.put(known.turn(), row.clone(), None);
        assert_eq!(both(&known, &row), (Some(row.clone()), Some(row.clone())));
        // What may be wrong is not fresh, and serves only while nothing better is to be had.
        known.expire_room(row.key.id);
        assert_eq!(both(&known, &row), (None, Some(row.clone())));
        known.forget_room(row.key.id);
        assert_eq!(both(&known, &row), (None, None));
    }

    #[test]
    fn an_answer_that_was_asked_for_before_something_expired_serves_only_while_nothing_better_is_to_be_had() {
        let (mut known, row, closed) = (Known::default(), room(true), room(false));
        let turn = known.turn();
        known.expire_member(Uuid::nil(), Uuid::nil());
        known.put(turn, row.clone(), None);
        assert_eq!(both(&known, &row), (None, Some(row.clone())));
        known.put(known.turn(), closed.clone(), None);
        known.put(turn, row.clone(), None);
        assert_eq!(both(&known, &row), (Some(closed.clone()), Some(closed)));
    }

    #[test]
    fn a_role_is_forgotten_and_may_be_wrong_without_its_room() {
        let (mut known, row, person) = (Known::default(), room(true), Uuid::from_u128(7));
        let role = |known: &Known, age| known.get(person, &row.key.name, age).map(|(_, role)| role);
        known.put(known.turn(), row.clone(), Some((person, Role::Member)));
        known.expire_member(row.key.id, person);
        assert_eq!(role(&known, Some(SOME_TIME)), Some(None));
        assert_eq!(role(&known, None), Some(Some(Role::Member)));
        known.forget_member(row.key.id, person);
        assert_eq!(role(&known, None), Some(None));
    }
}
