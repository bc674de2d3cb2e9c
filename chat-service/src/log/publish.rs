//! Appending: what is sent to a room collects while a publish of that room is on its way, and leaves in one message on its confirm.

use super::apply::look_up;
use super::clock::{Started, distance};
use super::config::{COMMAND_AGE, FRESH};
use super::dedup::{Key, Known};
use super::outgoing::{Batch, Reply, Waiting, key_of};
use super::room::{Done, Room};
use super::{AppendError, Appended, Draft};
use crate::broker::{Publication, Published};
use crate::store::keys::LookedUp;
use contract::event::Event;
use contract::names::ROOMS_EXCHANGE;
use contract::position::{Epoch, LogPosition};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Keys of one look-up.
const KEYS_AT_ONCE: usize = 1024;

impl Room {
    /// A command takes its place in the queue.
    pub(super) fn on_append(&mut self, draft: Draft, started: Started, reply: Reply) {
        let waiting = Waiting { draft, started, reply, absent: None };
        if let Some(waiting) = self.settle(waiting) {
            self.outgoing.waiting.push_back(waiting);
        }
    }

    /// Answers a command whose key stands in the log or is on its way; gives back one that is new.
    fn settle(&mut self, waiting: Waiting) -> Option<Waiting> {
        if let Some(known) = self.memory.get(&key_of(&waiting.draft)).cloned() {
            self.answer_known(waiting, &known);
            return None;
        }
        self.outgoing.join(waiting)
    }

    fn answer_known(&self, waiting: Waiting, known: &Known) {
        let answer = match self.epochs.get(&known.at.ordinal) {
            _ if *known.hash != *waiting.draft.hash => Err(AppendError::Conflict),
            Some(epoch) => {
                Ok(Appended { epoch: epoch.clone(), pos: known.at.pos, time: known.time.clone(), duplicate: true })
            }
            None => Err(AppendError::Unavailable("log_changing")),
        };
        waiting.reply.send(answer).ok();
    }

    /// Hands over what may leave now.
    pub(super) fn pump(&mut self, now: Instant) {
        if self.outgoing.waiting.is_empty() {
            return;
        }
        if !self.is_ready() {
            // Known to be down: at once, not after a wait.
            if self.context.broker.is_down() {
                self.outgoing.fail_waiting(&AppendError::Unavailable("broker"));
            }
            return;
        }
        self.ask();
        if self.outgoing.on_its_way {
            return;
        }
        if self.is_behind(now) {
            self.outgoing.fail_waiting(&AppendError::Unavailable("history_behind"));
            return;
        }
        self.publish(now);
    }

    /// Whether the historian is so far behind that more might outrun it: the other half is for what others send meanwhile.
    fn is_behind(&self, now: Instant) -> bool {
        let config = &self.context.config;
        let unstored = self.retained.unstored();
        let all = self.context.unstored.load(Ordering::Relaxed);
        let kept = self.log.as_ref().map(|log| log.kept);
        unstored > kept.map_or(usize::MAX, |kept| kept.bytes / 2).min(config.behind_bytes)
            || self.retained.age(now) > kept.map_or(Duration::MAX, |kept| kept.age / 2).min(config.behind_age)
            // All rooms together hold too much: those that hold a good part of it stop.
            || (all > config.behind_bytes_total && unstored > config.behind_bytes / 16)
    }

    /// Up to where the key is known to be absent; `None`: that is to be looked up.
    fn absent(&self, waiting: &Waiting, applied: LogPosition) -> Option<LogPosition> {
        let fresh = || distance(waiting.draft.key, SystemTime::now()).is_some_and(|distance| distance <= FRESH);
        let reaches = |at: Option<LogPosition>| at.filter(|at| self.memory.reaches(*at));
        if self.memory.reaches(LogPosition::START) || (self.memory.recalls(Instant::now()) && fresh()) {
            return Some(applied);
        }
        match reaches(waiting.absent).or_else(|| reaches(waiting.draft.after)) {
            Some(at) => Some(at.max(applied)),
            None => waiting.absent,
        }
    }

    /// Looks up the keys of waiting commands that memory cannot decide about.
    fn ask(&mut self) {
        let Some(log) = self.log.as_ref().filter(|_| !self.asking) else { return };
        let applied = log.applied();
        let unknown = |waiting: &&Waiting| self.absent(waiting, applied).is_none();
        let candidates = self.outgoing.waiting.iter().take(KEYS_AT_ONCE);
        let keys: Vec<Key> = candidates.filter(unknown).map(|waiting| key_of(&waiting.draft)).collect();
        if keys.is_empty() {
            return;
        }
        self.asking = true;
        let (context, room) = (self.context.clone(), self.key.id);
        self.beside(async move {
            let result = look_up(&context, room, &keys).await;
            Done::Asked(keys, result)
        });
    }

    pub(super) fn on_asked(&mut self, keys: &[Key], result: Result<LookedUp, sqlx::Error>) {
        self.asking = false;
        let asked: HashSet<Key> = keys.iter().copied().collect();
        let queue = std::mem::take(&mut self.outgoing.waiting);
        for mut waiting in queue {
            let key = key_of(&waiting.draft);
            match &result {
                _ if !asked.contains(&key) => self.outgoing.waiting.push_back(waiting),
                Err(_) => {
                    waiting.reply.send(Err(AppendError::Unavailable("database"))).ok();
                }
                Ok(looked_up) => {
                    if let Some(stored) = looked_up.found.get(&key) {
                        self.epochs.entry(stored.epoch.ordinal()).or_insert_with(|| stored.epoch.clone());
                        self.answer_known(waiting, &stored.known);
                    } else {
                        waiting.absent = Some(looked_up.stored);
                        self.outgoing.waiting.push_back(waiting);
                    }
                }
            }
        }
        if let Err(error) = result {
            tracing::warn!(room = %self.key.name, %error, "failed to look up keys of commands");
        }
    }

    fn publish(&mut self, now: Instant) {
        let Some(log) = &self.log else { return };
        let (applied, epoch, key) = (log.applied(), log.epoch.clone(), log.routing_key.clone());
        let time: Arc<str> = service::clock::now_rfc3339_ms().into();
        let number = self.outgoing.begin_batch();
        let mut batch = Batch::default();
        while let Some(waiting) = self.outgoing.waiting.pop_front() {
            let Some(waiting) = self.may_leave(waiting) else { continue };
            let Some(after) = self.absent(&waiting, applied) else {
                self.outgoing.waiting.push_front(waiting);
                break;
            };
            let fits = encode(&waiting.draft, after, &time).is_some_and(|event| batch.add(event));
            if fits {
                self.outgoing.hand_over(waiting, number, time.clone(), after, now);
            } else if batch.len() > 0 {
                self.outgoing.waiting.push_front(waiting);
                break;
            } else {
                waiting.reply.send(Err(AppendError::Unavailable("too_large"))).ok();
            }
        }
        if batch.len() > 0 {
            self.send(number, &batch, &epoch, key);
        }
    }

    /// Gives back a command that may be handed over now; answers any other.
    fn may_leave(&mut self, waiting: Waiting) -> Option<Waiting> {
        let waiting = self.settle(waiting)?;
        let refusal = if waiting.started.age() > COMMAND_AGE {
            AppendError::Unavailable("timeout")
        } else if !self.standing.sending && waiting.draft.body.needs_open() {
            AppendError::Closed
        } else {
            return Some(waiting);
        };
        waiting.reply.send(Err(refusal)).ok();
        None
    }

    fn send(&mut self, number: u64, batch: &Batch, epoch: &Epoch, key: String) {
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 1,024 events")]
        self.context.meters.batch_events.record(batch.len() as f64);
        self.outgoing.on_its_way = true;
        let publication = Publication {
            exchange: ROOMS_EXCHANGE,
            key,
            log: Some((self.key.id, epoch.clone())),
            mandatory: true,
            body: batch.body(),
        };
        let broker = self.context.broker.clone();
        self.beside(async move { Done::Published(number, broker.publish(publication).await) });
    }

    pub(super) fn on_published(&mut self, batch: u64, published: &Published) {
        self.outgoing.on_its_way = false;
        let reason = match published {
            // Only the read-back is success.
            Published::Confirmed => return,
            Published::Returned => {
                self.poke();
                "log_changing"
            }
            Published::Nacked | Published::Unknown | Published::Refused => "broker",
        };
        self.outgoing.fail_batch(batch, &AppendError::Unavailable(reason));
    }
}

fn encode(draft: &Draft, after: LogPosition, time: &Arc<str>) -> Option<Vec<u8>> {
    let event = Event {
        key: draft.key,
        hash: draft.hash.clone(),
        after,
        sender: draft.sender.clone(),
        time: time.clone(),
        body: draft.body.clone(),
    };
    event.encode().ok()
}
