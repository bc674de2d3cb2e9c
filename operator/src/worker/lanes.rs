//! Which rooms are next, pure: what changed goes before a look at everything, and namespaces take turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use contract::room::RoomName;

/// Rooms that wait.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    changed: Lane,
    resync: Lane,
}

impl Lanes {
    /// Something about these rooms changed.
    pub(super) fn changed(&mut self, rooms: impl IntoIterator<Item = RoomName>) {
        rooms.into_iter().for_each(|room| self.changed.push(room));
    }

    /// These rooms are looked at when nothing changed.
    pub(super) fn resync(&mut self, rooms: impl IntoIterator<Item = RoomName>) {
        rooms.into_iter().for_each(|room| self.resync.push(room));
    }

    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.waiting.is_empty() && self.resync.waiting.is_empty()
    }

    /// The next rooms, at most so many, none of which is `busy`. Busy ones keep waiting.
    pub(super) fn take(&mut self, most: usize, busy: &BTreeSet<RoomName>) -> Vec<RoomName> {
        let mut taken = self.changed.take(most, busy);
        if taken.is_empty() {
            taken = self.resync.take(most, busy);
        }
        for room in &taken {
            // One look serves both lanes.
            self.resync.remove(room);
        }
        taken
    }
}

/// Rooms by namespace, and whose turn it is.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeSet<RoomName>,
    namespaces: BTreeMap<String, VecDeque<RoomName>>,
    turn: String,
}

impl Lane {
    fn push(&mut self, room: RoomName) {
        if self.waiting.insert(room.clone()) {
            self.namespaces.entry(room.namespace().to_owned()).or_default().push_back(room);
        }
    }

    fn remove(&mut self, room: &RoomName) {
        if self.waiting.remove(room)
            && let Some(queue) = self.namespaces.get_mut(room.namespace())
        {
            queue.retain(|other| other != room);
        }
    }

    fn take(&mut self, most: usize, busy: &BTreeSet<RoomName>) -> Vec<RoomName> {
        let mut taken = Vec::new();
        // Each round takes one room of each namespace, beginning after the one that was served last.
        loop {
            let before = taken.len();
            let (later, earlier): (Vec<String>, Vec<String>) =
                self.namespaces.keys().cloned().partition(|namespace| *namespace > self.turn);
            for namespace in later.into_iter().chain(earlier) {
                if taken.len() == most {
                    return taken;
                }
                let Some(queue) = self.namespaces.get_mut(&namespace) else { continue };
                let Some(at) = queue.iter().position(|room| !busy.contains(room)) else { continue };
                if let Some(room) = queue.remove(at) {
                    self.waiting.remove(&room);
                    taken.push(room);
                    self.turn = namespace;
                }
            }
            self.namespaces.retain(|_, queue| !queue.is_empty());
            if taken.len() == before {
                return taken;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rooms(names: &[&str]) -> Vec<RoomName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn what_changed_goes_first_and_namespaces_take_turns() {
        let mut lanes = Lanes::default();
        lanes.resync(rooms(&["a/1", "b/1"]));
        lanes.changed(rooms(&["a/1", "a/2", "a/3", "b/2", "c/1"]));
        assert_eq!(lanes.take(4, &BTreeSet::new()), rooms(&["a/1", "b/2", "c/1", "a/2"]));
        assert_eq!(lanes.take(4, &BTreeSet::new()), rooms(&["a/3"]));
        assert_eq!(lanes.take(4, &BTreeSet::new()), rooms(&["b/1"]));
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_busy_room_keeps_waiting() {
        let mut lanes = Lanes::default();
        lanes.changed(rooms(&["a/1", "a/2"]));
        let busy: BTreeSet<RoomName> = rooms(&["a/1"]).into_iter().collect();
        assert_eq!(lanes.take(9, &busy), rooms(&["a/2"]));
        assert_eq!(lanes.take(9, &busy), []);
        assert_eq!(lanes.take(9, &BTreeSet::new()), rooms(&["a/1"]));
    }

    proptest! {
        #[test]
        fn every_room_comes_once_and_no_namespace_waits_longer_than_a_round(names in proptest::collection::btree_set("[a-d]/[0-9]{1,2}", 1..60)) {
            let mut lanes = Lanes::default();
            lanes.changed(names.iter().map(|name| name.parse::<RoomName>().unwrap()));
            let mut seen = Vec::new();
            while !lanes.is_empty() {
                seen.extend(lanes.take(7, &BTreeSet::new()));
            }
            let once: BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
            prop_assert_eq!(once.len(), seen.len());
            prop_assert_eq!(&once, &names);
            // While two namespaces still have rooms, neither is served twice in a row.
            for (index, pair) in seen.windows(2).enumerate() {
                let namespace = pair[0].namespace();
                let alone = seen[index + 1..].iter().all(|room| room.namespace() == namespace);
                prop_assert!(namespace != pair[1].namespace() || alone);
            }
        }
    }
}
