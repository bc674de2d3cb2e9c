//! Read pointers of one socket on their way to PostgreSQL: at most one write a second, and a reply once it is stored.

use crate::rooms::read::Pointer;
use contract::position::LogPosition;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Between two writes.
const EVERY: Duration = Duration::from_secs(1);

/// Pointers that wait.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    waiting: Batch,
    writing: bool,
    last: Option<Instant>,
}

/// What is written at once: the furthest of each room, and the commands that wait for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) pointers: BTreeMap<Uuid, LogPosition>,
    pub(super) commands: Vec<u64>,
}

impl Pointers {
    /// Takes a pointer; gives when to write.
    pub(super) fn add(&mut self, command: u64, pointer: &Pointer, now: Instant) -> Option<Instant> {
        let furthest = self.waiting.pointers.entry(pointer.room).or_insert(pointer.at);
        *furthest = pointer.at.max(*furthest);
        self.waiting.commands.push(command);
        self.due(now)
    }

    /// What is to be written now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        if self.writing || self.waiting.commands.is_empty() {
            return None;
        }
        self.writing = true;
        self.last = Some(now);
        let mut batch = std::mem::take(&mut self.waiting);
        batch.commands.sort_unstable();
        Some(batch)
    }

    /// A write is over; gives when to write again.
    pub(super) fn written(&mut self, now: Instant) -> Option<Instant> {
        self.writing = false;
        self.due(now)
    }

    /// Whatever waits when the socket ends.
    pub(super) fn rest(self) -> Vec<(Uuid, LogPosition)> {
        self.waiting.pointers.into_iter().collect()
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        if self.writing || self.waiting.commands.is_empty() {
            return None;
        }
        Some(self.last.map_or(now, |last| now.max(last + EVERY)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(pos: u64) -> Pointer {
        Pointer { room: Uuid::nil(), at: LogPosition::new(1, pos) }
    }

    #[test]
    fn the_first_is_written_at_once_and_those_that_follow_together() {
        let now = Instant::now();
        let mut pointers = Pointers::default();
        assert_eq!(pointers.add(1, &pointer(5), now), Some(now));
        let batch = pointers.take(now).unwrap();
        assert_eq!(batch.commands, [1]);
        assert_eq!(pointers.add(2, &pointer(7), now), None);
        assert_eq!(pointers.add(3, &pointer(6), now), None);
        assert_eq!(pointers.take(now), None);
        assert_eq!(pointers.written(now), Some(now + EVERY));
        let batch = pointers.take(now + EVERY).unwrap();
        assert_eq!((batch.pointers.values().next().unwrap().pos, batch.commands), (7, vec![2, 3]));
        assert_eq!(pointers.written(now + EVERY), None);
        let later = now + EVERY * 3;
        assert_eq!(pointers.add(4, &pointer(9), later), Some(later));
        assert_eq!(pointers.rest(), [(Uuid::nil(), LogPosition::new(1, 9))]);
    }
}
