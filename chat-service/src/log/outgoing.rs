//! Commands on their way into a log: those that wait and those that were handed over. Pure; [`super::publish`] drives it.

use super::clock::Started;
use super::config::SEND_LIMIT;
use super::dedup::Key;
use crate::log::{AppendError, Appended, Draft};
use contract::position::{LogPosition, MAX_BATCH_BYTES, MAX_BATCH_EVENTS};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Where the answer goes.
pub(super) type Reply = oneshot::Sender<Result<Appended, AppendError>>;

/// A command that was not handed over yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) draft: Draft,
    pub(super) started: Started,
    pub(super) reply: Reply,
    /// Up to where its key is known to be absent, if that was found out.
    pub(super) absent: Option<LogPosition>,
}

/// A key whose event was handed over and not yet read back.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) hash: Box<str>,
    /// As it was written: tells our own copy from another gateway's.
    pub(super) time: Arc<str>,
    pub(super) after: LogPosition,
    pub(super) handed_over: Instant,
    batch: u64,
    /// All who sent it; the first is the one that was published.
    replies: Vec<Reply>,
}

/// The state of a room's senders.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) waiting: VecDeque<Waiting>,
    pending: HashMap<Key, Pending>,
    deadlines: VecDeque<(Instant, Key, u64)>,
    batches: u64,
    /// A batch is on its way: the next leaves on its confirm.
    pub(super) on_its_way: bool,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.pending.is_empty() && !self.on_its_way
    }

    /// Lets a command share the publish of its key that is on its way; gives it back if there is none.
    pub(super) fn join(&mut self, waiting: Waiting) -> Option<Waiting> {
        let Some(pending) = self.pending.get_mut(&key_of(&waiting.draft)) else { return Some(waiting) };
        if *pending.hash == *waiting.draft.hash {
            pending.replies.push(waiting.reply);
        } else {
            waiting.reply.send(Err(AppendError::Conflict)).ok();
        }
        None
    }

    /// A new batch.
    pub(super) fn begin_batch(&mut self) -> u64 {
        self.batches += 1;
        self.batches
    }

    /// `waiting` is in this batch.
    pub(super) fn hand_over(&mut self, waiting: Waiting, batch: u64, time: Arc<str>, after: LogPosition, now: Instant) {
        let key = key_of(&waiting.draft);
        let pending = Pending {
            hash: waiting.draft.hash.into(),
            time,
            after,
            handed_over: now,
            batch,
            replies: vec![waiting.reply],
        };
        self.pending.insert(key, pending);
        self.deadlines.push_back((now + SEND_LIMIT, key, batch));
    }

    /// The key was read: who waits for it.
    pub(super) fn take(&mut self, key: &Key) -> Option<Pending> {
        self.pending.remove(key)
    }

    /// The same, if it is the copy with this time and `after` that was handed over.
    pub(super) fn take_if(&mut self, key: &Key, ours: impl FnOnce(&Arc<str>, LogPosition) -> bool) -> Option<Pending> {
        self.pending.get(key).filter(|pending| ours(&pending.time, pending.after))?;
        self.pending.remove(key)
    }

    /// The sends of `batch` are over.
    pub(super) fn fail_batch(&mut self, batch: u64, error: &AppendError) {
        let keys: Vec<Key> =
            self.pending.iter().filter(|(_, pending)| pending.batch == batch).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.pending.remove(key)).for_each(|pending| pending.fail(error));
    }

    /// All that was handed over is over.
    pub(super) fn fail_pending(&mut self, error: &AppendError) {
        self.pending.drain().for_each(|(_, pending)| pending.fail(error));
    }

    /// All that waits is over.
    pub(super) fn fail_waiting(&mut self, error: &AppendError) {
        for waiting in self.waiting.drain(..) {
            waiting.reply.send(Err(error.clone())).ok();
        }
    }

    /// Ends what has waited too long: for a reader (then it is the `reason` why there is none), or for its read-back.
    pub(super) fn expire(&mut self, now: Instant, reason: &'static str) {
        while let Some((deadline, key, batch)) = self.deadlines.front().copied()
            && deadline <= now
        {
            self.deadlines.pop_front();
            if self.pending.get(&key).is_some_and(|pending| pending.batch == batch)
                && let Some(pending) = self.pending.remove(&key)
            {
                pending.fail(&AppendError::Unavailable("timeout"));
            }
        }
        while let Some(front) = self.waiting.front()
            && front.started.age() >= SEND_LIMIT
            && let Some(late) = self.waiting.pop_front()
        {
            late.reply.send(Err(AppendError::Unavailable(reason))).ok();
        }
    }
}

impl Pending {
    /// The key stands in the log: everybody who sent it hears where. `own`: with the copy that this gateway published.
    pub(super) fn answer(self, appended: &Appended, hash: &str, own: bool) {
        for (index, reply) in self.replies.into_iter().enumerate() {
            let answer = if *hash == *self.hash {
                Ok(Appended { duplicate: appended.duplicate || !own || index > 0, ..appended.clone() })
            } else {
                Err(AppendError::Conflict)
            };
            reply.send(answer).ok();
        }
    }

    pub(super) fn fail(self, error: &AppendError) {
        for reply in self.replies {
            reply.send(Err(error.clone())).ok();
        }
    }
}

/// What a draft counts for while it waits.
pub(super) fn draft_bytes(draft: &Draft) -> usize {
    use contract::event::Body;
    let text = match &draft.body {
        Body::Message { message } => message.text.len() + message.attachments.len() * 16,
        Body::Edited { text, .. } => text.len(),
        _ => 0,
    };
    text + 512
}

pub(super) fn key_of(draft: &Draft) -> Key {
    (draft.sender.as_ref().map_or(uuid::Uuid::nil(), |sender| sender.id), draft.key)
}

/// Fills one AMQP message.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: Vec<Vec<u8>>,
    bytes: usize,
}

/// `{"v":1,"events":[` and `]}`.
const ENVELOPE_BYTES: usize = 32;

impl Batch {
    /// Puts an encoded event in if it fits.
    pub(super) fn add(&mut self, event: Vec<u8>) -> bool {
        let bytes = self.bytes + event.len() + 1;
        if self.events.len() == MAX_BATCH_EVENTS || bytes + ENVELOPE_BYTES > MAX_BATCH_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.events.push(event);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The envelope.
    pub(super) fn body(&self) -> Vec<u8> {
        contract::event::Envelope::join(&self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_batch_never_exceeds_its_bounds(sizes in prop::collection::vec(1_usize..9_000, 1..1_500)) {
            let mut batch = Batch::default();
            let taken = sizes.iter().take_while(|size| batch.add(vec![b'1'; **size])).count();
            prop_assert_eq!(batch.len(), taken);
            prop_assert!(batch.len() <= MAX_BATCH_EVENTS && batch.body().len() <= MAX_BATCH_BYTES);
            // It took what fits.
            if let Some(next) = sizes.get(taken) {
                prop_assert!(taken == MAX_BATCH_EVENTS || batch.body().len() + next + ENVELOPE_BYTES > MAX_BATCH_BYTES);
            }
        }
    }
}
