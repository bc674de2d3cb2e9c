//! Which events of a log count: the first with its (sender, key), by what this reader remembers. A function of the log, so that
//! readers that began anywhere decide alike. Pure.

use super::config::RECALL;
use contract::event::Event;
use contract::position::{Epoch, LogPosition};
use contract::standing::Standing;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Sender and key.
pub(crate) type Key = (Uuid, Uuid);

/// Where a key stands for the first time, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its position.
    pub(crate) at: LogPosition,
    /// Of the command.
    pub(crate) hash: Box<str>,
    /// Of its first copy.
    pub(crate) time: Arc<str>,
}

/// Keys that counted, from some position on.
#[derive(Debug)]
pub(super) struct Memory {
    known: HashMap<Key, Known>,
    /// By position, with the moment of learning.
    order: VecDeque<(LogPosition, Key, Instant)>,
    /// Every key that counted above this is here.
    reach: LogPosition,
    /// Every key that was appended after this is here.
    since: Instant,
    /// How many to keep at most of those that need not be kept.
    most: usize,
}

/// What to make of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Counts,
    /// Void by what stands before it: behind `closed`, or sent while the room was closed.
    Void,
    /// Another copy stood before it.
    Duplicate(Known),
    /// Its first copy may stand before what is remembered: look it up.
    Ask,
}

/// Answers of a look-up, for the copies of one AMQP message.
pub(super) type Answers = HashMap<Key, Option<Known>>;

impl Memory {
    /// Remembers nothing yet; complete above `reach`, and for what was appended after `since`.
    pub(super) fn new(reach: LogPosition, since: Instant, most: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), reach, since, most }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Known> {
        self.known.get(key)
    }

    /// Whether absence here is absence everywhere after `at`.
    pub(super) fn reaches(&self, at: LogPosition) -> bool {
        self.reach.covers(at)
    }

    pub(super) fn reach(&self) -> LogPosition {
        self.reach
    }

    /// Whether it decides alone about a fresh id.
    pub(super) fn recalls(&self, now: Instant) -> bool {
        self.reach == LogPosition::START || now.saturating_duration_since(self.since) >= RECALL
    }

    /// The next key in log order.
    pub(super) fn remember(&mut self, key: Key, known: Known, now: Instant) {
        if !self.known.contains_key(&key) {
            self.order.push_back((known.at, key, now));
            self.known.insert(key, known);
        }
    }

    /// Forgets what the historian has and nobody will ask for soon.
    pub(super) fn trim(&mut self, stored: LogPosition, now: Instant) {
        while let Some((at, key, learned)) = self.order.front() {
            let old = now.saturating_duration_since(*learned) > RECALL;
            if *at > stored || !(old || self.order.len() > self.most) {
                break;
            }
            self.reach = self.reach.max(*at);
            self.since = self.since.max(*learned);
            self.known.remove(key);
            self.order.pop_front();
        }
    }

    /// The log up to `at` was not read here.
    pub(super) fn skip_to(&mut self, at: LogPosition, now: Instant) {
        if at > self.reach {
            self.reach = at;
            self.since = now;
        }
    }

    /// How many keys it holds.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.len()
    }
}

/// Decides about the copy of `event` that stands at `at`. `answers` are of a look-up for it, if one was made.
pub(super) fn verdict(
    memory: &Memory,
    standing: &Standing,
    epoch: &Epoch,
    event: &Event,
    at: LogPosition,
    answers: &Answers,
) -> Verdict {
    if !standing.admits(epoch, event) {
        return Verdict::Void;
    }
    let key = (event.sender_id(), event.key);
    let first = match (memory.get(&key), answers.get(&key)) {
        (Some(known), _) | (None, Some(Some(known))) => known,
        // PostgreSQL has it up to its position, and memory reaches back to that.
        (None, Some(None)) => return Verdict::Counts,
        (None, None) if memory.reaches(event.after) => return Verdict::Counts,
        (None, None) => return Verdict::Ask,
    };
    if first.at == at { Verdict::Counts } else { Verdict::Duplicate(first.clone()) }
}

#[cfg(test)]
mod tests;
