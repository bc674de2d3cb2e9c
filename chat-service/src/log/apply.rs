//! What a room's task does with a message of its log: decide which copies count, remember, answer senders, hand on to subscribers.

use super::attach::Anchor;
use super::clock;
use super::dedup::{Answers, Key, Known, Verdict, verdict};
use super::delivery::Delivery;
use super::opening::DATABASE_LIMIT;
use super::registry::Context;
use super::room::{Done, Room};
use super::{AppendError, Appended, RoomNotice};
use crate::log::frame::Frame;
use crate::store::keys::{self, LookedUp};
use contract::event::{Body, Envelope, Event};
use contract::position::{LogPosition, pos};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::time::timeout;
use uuid::Uuid;

/// A message that holds copies whose keys are being looked up. The reader waits for it.
pub(super) struct Deciding {
    number: u64,
    delivery: Delivery,
    envelope: Envelope,
    asked: Vec<Key>,
}

/// Looks keys up, within a limit.
pub(super) async fn look_up(context: &Context, room: Uuid, keys: &[Key]) -> Result<LookedUp, sqlx::Error> {
    timeout(DATABASE_LIMIT, keys::look_up(&context.pool, room, keys)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn key_of(event: &Event) -> Key {
    (event.sender_id(), event.key)
}

impl Room {
    /// The next message of the stream.
    pub(super) fn on_delivery(&mut self, delivery: Delivery) {
        let Some(log) = &self.log else { return };
        let offset = signed(delivery.offset);
        if offset <= log.last.off {
            return;
        }
        if log.last.off < 0 && offset > 0 {
            self.accept_loss(delivery.offset);
        }
        let Some(log) = &self.log else { return };
        if !delivery.is_for(self.key.id, &log.epoch) {
            self.context.meters.passed_by.increment(1);
            return self.read_past(delivery, None, Instant::now());
        }
        match Envelope::decode(&delivery.body) {
            Ok(envelope) => self.decide(delivery, envelope),
            Err(error) => {
                tracing::error!(room = %self.key.name, offset, %error, "failed to decode a message of a log; it is passed by");
                self.context.meters.passed_by.increment(1);
                self.read_past(delivery, None, Instant::now());
            }
        }
    }

    /// Applies the message, after looking up the keys whose first copies may stand before what is remembered.
    fn decide(&mut self, delivery: Delivery, envelope: Envelope) {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let unknown = |event: &&Event| self.memory.get(&key_of(event)).is_none() && !self.memory.reaches(event.after);
        let mut asked: Vec<Key> = envelope.events.iter().filter(unknown).map(key_of).collect();
        if asked.is_empty() {
            return self.apply(delivery, envelope, &Answers::new());
        }
        asked.sort_unstable();
        asked.dedup();
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (context, room, keys) = (self.context.clone(), self.key.id, asked.clone());
        self.deciding = Some(Deciding { number, delivery, envelope, asked });
        self.beside(async move { Done::Decided(number, look_up(&context, room, &keys).await) });
    }

    pub(super) fn on_decided(&mut self, number: u64, result: Result<LookedUp, sqlx::Error>) {
        let Some(deciding) = self.deciding.take_if(|deciding| deciding.number == number) else { return };
        match result {
            Ok(mut looked_up) => {
                let mut answers = Answers::new();
                for key in deciding.asked {
                    let found = looked_up.found.remove(&key);
                    if let Some(stored) = &found {
                        self.epochs.entry(stored.epoch.ordinal()).or_insert_with(|| stored.epoch.clone());
                    }
                    answers.insert(key, found.map(|stored| stored.known));
                }
                self.apply(deciding.delivery, deciding.envelope, &answers);
            }
            Err(error) => {
                // The reader holds: it comes back to this message once PostgreSQL answers.
                tracing::warn!(room = %self.key.name, %error, "failed to look up keys; the room waits");
                self.retreat("database");
            }
        }
    }

    fn apply(&mut self, delivery: Delivery, envelope: Envelope, answers: &Answers) {
        let Some(log) = &self.log else { return };
        let epoch = log.epoch.clone();
        let now = Instant::now();
        let count = envelope.events.len();
        // All of a batch leave at once.
        let sent = envelope.events.first().map_or(now, |event| clock::moment(&event.time));
        let mut frames: Vec<Arc<Frame>> = Vec::with_capacity(count);
        let mut over = false;
        for (index, event) in envelope.events.into_iter().enumerate() {
            let at = LogPosition::new(epoch.ordinal(), pos(delivery.offset, index));
            match verdict(&self.memory, &self.standing, &epoch, &event, at, answers) {
                Verdict::Counts => {
                    let frame = Frame::of(&self.key.name, &epoch, at.pos, &event);
                    over |= matches!(event.body, Body::Closed { .. });
                    self.counts(event, at, now);
                    frames.extend(frame);
                }
                Verdict::Duplicate(first) => self.is_duplicate(&event, &first),
                Verdict::Void => self.is_void(&event),
                // Asked for before: there is an answer for every key that memory lacks.
                Verdict::Ask => tracing::error!(room = %self.key.name, ?at, "a copy was not decided"),
            }
        }
        self.hand_on(frames);
        self.read_past(delivery, Some(count), sent);
        if over {
            // What was handed over and not read yet can only stand behind.
            self.outgoing.fail_pending(&AppendError::Unavailable("log_changing"));
            self.reason = "log_changing";
            self.poke();
        }
    }

    fn counts(&mut self, event: Event, at: LogPosition, now: Instant) {
        self.standing.apply(&event);
        let key = key_of(&event);
        if let Some(pending) = self.outgoing.take(&key) {
            let own = pending.time == event.time && pending.after == event.after;
            self.context.meters.read_back.record(now.saturating_duration_since(pending.handed_over));
            if let Some(epoch) = self.epochs.get(&at.ordinal) {
                let appended =
                    Appended { epoch: epoch.clone(), pos: at.pos, time: event.time.clone(), duplicate: false };
                pending.answer(&appended, &event.hash, own);
            }
        }
        self.memory.remember(key, Known { at, hash: event.hash.into(), time: event.time }, now);
    }

    fn is_duplicate(&mut self, event: &Event, first: &Known) {
        self.context.meters.void_duplicate.increment(1);
        if let Some(pending) = self.outgoing.take(&key_of(event))
            && let Some(epoch) = self.epochs.get(&first.at.ordinal)
        {
            let appended =
                Appended { epoch: epoch.clone(), pos: first.at.pos, time: first.time.clone(), duplicate: true };
            pending.answer(&appended, &first.hash, false);
        }
    }

    fn is_void(&mut self, event: &Event) {
        self.context.meters.void_standing.increment(1);
        let key = key_of(event);
        // Another gateway's copy says nothing of ours.
        let ours = |time: &Arc<str>, after: LogPosition| *time == event.time && after == event.after;
        if let Some(pending) = self.outgoing.take_if(&key, ours) {
            let closed = self.standing.closed.is_none() && event.body.needs_open();
            pending.fail(&if closed { AppendError::Closed } else { AppendError::Unavailable("log_changing") });
        }
    }

    fn hand_on(&mut self, frames: Vec<Arc<Frame>>) {
        let Some(log) = self.log.as_ref().filter(|_| !frames.is_empty()) else { return };
        self.context.meters.events.increment(frames.len() as u64);
        for frame in &frames {
            self.ring.push(frame.clone());
            if let Some(notice) = &frame.notice {
                let notice = RoomNotice { room: self.key.clone(), notice: notice.clone() };
                self.context.notices.send(notice).ok();
            }
        }
        let lagging = self.cursors.deliver(&log.epoch, &frames.into());
        self.context.meters.lagging.increment(lagging as u64);
    }

    /// The message is dealt with, whatever it was.
    fn read_past(&mut self, delivery: Delivery, events: Option<usize>, sent: Instant) {
        let Some(log) = &mut self.log else { return };
        let offset = signed(delivery.offset);
        log.last = Anchor { off: offset, crc: Some(delivery.crc()) };
        log.pos = log.pos.max(delivery.end(events));
        if offset > log.stored_off {
            // Others write too: more than what stops sending here may come.
            self.retained.push(delivery, sent, 2 * self.context.config.behind_bytes);
        }
        self.tell_applied();
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
