//! Pages of a replay: from the ring, from what the historian has not stored, from PostgreSQL, from the stream itself. Together they
//! always cover the log.

use super::delivery::Delivery;
use super::replay::{self, Fetched, Range};
use super::ring::{PageLimit, page};
use super::room::{Done, Room};
use super::subscribe::{Join, PullReply, Waits, signed_offset};
use super::{Beyond, Pulled, SubscribeError, attach};
use crate::log::frame::Frame;
use crate::store::logs;
use contract::event::{Envelope, Event};
use contract::position::{Epoch, LogPosition, pos};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Frames that are put before the ring's floor at once, so that many who come back are served by one query.
const TAIL: usize = 1000;
const TAIL_LIMIT: Duration = Duration::from_secs(3);
const END_LIMIT: Duration = Duration::from_secs(7);

/// Consecutive events.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// In order.
    pub(super) frames: Vec<Arc<Frame>>,
    /// Up to where they cover the log.
    pub(super) end: u64,
    /// More was read than that.
    pub(super) more: bool,
}

/// Pages that are on their way, and who waits for them.
#[derive(Default)]
pub(super) struct Pulls {
    waiting: Vec<(u64, u64, PullReply)>,
    /// Positions from which a page is on its way.
    fetching: HashSet<u64>,
    filling: bool,
    /// Epoch and floor before which the ring was filled once.
    filled: Option<(u32, u64)>,
    ending: bool,
}

impl Pulls {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn drop_cursor(&mut self, cursor: u64) {
        self.waiting.retain(|(of, ..)| *of != cursor);
    }

    pub(super) fn fail_all(&mut self, error: &SubscribeError) {
        for (.., reply) in self.waiting.drain(..) {
            reply.send(Err(error.clone())).ok();
        }
    }

    fn take(&mut self, from: u64) -> Vec<(u64, PullReply)> {
        let taken = self.waiting.extract_if(.., |(_, of, _)| *of == from);
        taken.map(|(cursor, _, reply)| (cursor, reply)).collect()
    }
}

impl Room {
    pub(super) fn page_limit(&self) -> PageLimit {
        PageLimit { events: self.context.config.page_events, bytes: self.context.config.page_bytes }
    }

    /// What follows on `from`, if this task holds all of it.
    pub(super) fn held(&self, from: u64, limit: PageLimit) -> Option<Span> {
        let log = self.log.as_ref()?;
        let page = match self.ring.page(from, limit) {
            Some(page) => page,
            None => page(self.unstored_after(from)?.iter(), limit),
        };
        let end = page.frames.last().filter(|_| page.more).map_or(log.pos.max(from), |last| last.at.pos);
        Some(Span { frames: page.frames, end, more: page.more })
    }

    /// What was read beyond a stored position; nothing if the log here is not known to be the room's.
    pub(super) fn beyond(&self, stored: LogPosition) -> Result<Option<Beyond>, SubscribeError> {
        let Some(log) = self.log.as_ref().filter(|_| self.anchored) else { return Ok(None) };
        let epoch = Epoch::clone(&log.epoch);
        match stored.ordinal.cmp(&log.epoch.ordinal()) {
            Ordering::Less => Err(SubscribeError::Unavailable("log_changing")),
            Ordering::Greater => Err(SubscribeError::Behind),
            Ordering::Equal if stored.pos >= log.pos => {
                Ok(Some(Beyond { frames: Vec::new(), epoch, applied: stored.pos }))
            }
            Ordering::Equal => {
                let all = PageLimit { events: usize::MAX, bytes: usize::MAX };
                let span = self.held(stored.pos, all).ok_or(SubscribeError::Unavailable("history_behind"))?;
                Ok(Some(Beyond { frames: span.frames, epoch, applied: log.pos }))
            }
        }
    }

    /// The counted events after `from`, if all of them stand in messages that the historian has not stored.
    fn unstored_after(&self, from: u64) -> Option<Vec<Arc<Frame>>> {
        let log = self.log.as_ref().filter(|log| from >= log.stored_pos)?;
        // `from` may stand within a message.
        let messages = self.retained.after(log.stored_off.max(signed_offset(from) - 1))?;
        Some(messages.flat_map(|delivery| self.counted(delivery, from)).collect())
    }

    /// The frames after `from` of a message that was read before: its copies count where memory says that they stand.
    fn counted(&self, delivery: &Delivery, from: u64) -> Vec<Arc<Frame>> {
        let Some(log) = self.log.as_ref().filter(|log| delivery.is_for(self.key.id, &log.epoch)) else {
            return Vec::new();
        };
        let Ok(envelope) = Envelope::decode(&delivery.body) else { return Vec::new() };
        let frame = |(index, event): (usize, &Event)| {
            let at = LogPosition::new(log.epoch.ordinal(), pos(delivery.offset, index));
            let counts = at.pos > from && self.memory.get(&(event.sender_id(), event.key))?.at == at;
            if counts { Frame::of(&self.key.name, &log.epoch, at.pos, event) } else { None }
        };
        envelope.events.iter().enumerate().filter_map(frame).collect()
    }

    /// Somebody needs what is before the ring's floor: the first time the ring is filled, so that others find it there.
    pub(super) fn fill_or_fetch(&mut self, from: u64) {
        let Some(log) = &self.log else { return };
        let (ordinal, floor, room) = (log.epoch.ordinal(), self.ring.floor(), self.key.id);
        if self.pulls.filling {
            return;
        }
        let full = self.ring.bytes() > self.context.config.ring_bytes / 2;
        if full || self.pulls.filled == Some((ordinal, floor)) || self.context.database_rests() {
            return self.fetch(from);
        }
        (self.pulls.filling, self.pulls.filled) = (true, Some((ordinal, floor)));
        let context = self.context.clone();
        self.beside(async move {
            let tail = timeout(TAIL_LIMIT, logs::tail(&context.pool, room, ordinal, floor, TAIL + 1)).await;
            let frames = tail.unwrap_or(Err(sqlx::Error::PoolTimedOut)).unwrap_or_else(|error| {
                tracing::debug!(%error, "failed to read the last events of a room");
                context.database_failed();
                Vec::new()
            });
            Done::Tail(ordinal, floor, frames)
        });
    }

    pub(super) fn on_tail(&mut self, ordinal: u32, floor: u64, mut frames: Vec<Arc<Frame>>) {
        self.pulls.filling = false;
        let current = self.log.as_ref().is_some_and(|log| log.epoch.ordinal() == ordinal);
        if current && self.ring.floor() == floor && !frames.is_empty() {
            // What is before the first of them is not known; with one more than wanted, it is.
            let begin = if frames.len() > TAIL { frames.remove(0).at.pos } else { frames[0].at.pos - 1 };
            self.ring.prepend(frames, begin);
            // What is there now needs no second filling.
            self.pulls.filled = Some((ordinal, self.ring.floor()));
        }
        self.joins.iter_mut().filter(|join| join.waits == Waits::ForPage).for_each(|join| join.waits = Waits::Not);
    }

    pub(super) fn fetch_for(&mut self, cursor: u64, from: u64, reply: PullReply) {
        self.pulls.waiting.push((cursor, from, reply));
        self.fetch(from);
    }

    fn fetch(&mut self, from: u64) {
        let Some(log) = &self.log else { return };
        if !self.pulls.fetching.insert(from) {
            return;
        }
        let range = Range {
            room: self.key.id,
            ordinal: log.epoch.ordinal(),
            stream: log.stream.clone(),
            from,
            until: log.last.off,
            limit: self.page_limit(),
        };
        let context = self.context.clone();
        self.beside(async move { Done::Fetched(range.ordinal, from, replay::fetch(&context, &range).await) });
    }

    pub(super) fn on_fetched(&mut self, ordinal: u32, from: u64, result: Result<Fetched, SubscribeError>) {
        self.pulls.fetching.remove(&from);
        let pulls = self.pulls.take(from);
        let of_page = |join: &mut Join| {
            join.waits == Waits::ForPage && join.since.as_ref().is_some_and(|since| since.pos == from)
        };
        let joins: Vec<Join> = self.joins.extract_if(.., of_page).collect();
        if self.log.as_ref().is_none_or(|log| log.epoch.ordinal() != ordinal) {
            return self.page_of_another_log(joins, pulls);
        }
        match result.and_then(|fetched| self.span(from, fetched)) {
            Ok(Some(span)) => {
                for join in joins {
                    self.grant(join, Some(span.clone()));
                }
                for (cursor, reply) in pulls {
                    self.turn_page(cursor, reply, span.clone());
                }
            }
            Ok(None) => {
                for join in joins {
                    self.grant(join, None);
                }
                for (cursor, reply) in pulls {
                    self.miss_from(cursor, from);
                    reply.send(Err(SubscribeError::Stopped)).ok();
                }
            }
            Err(error) => {
                for join in joins {
                    join.fail(error.clone());
                }
                for (_, reply) in pulls {
                    reply.send(Err(error.clone())).ok();
                }
            }
        }
    }

    /// The room went on in another log meanwhile: joins are looked at anew, cursors were told and are live.
    fn page_of_another_log(&mut self, joins: Vec<Join>, pulls: Vec<(u64, PullReply)>) {
        self.joins.extend(joins.into_iter().map(Join::again));
        for (_, reply) in pulls {
            reply.send(Ok(Pulled { frames: Vec::new(), live: true })).ok();
        }
    }

    /// What was fetched after `from`, continued by what is held here; never beyond what this task has read, because that comes
    /// live. `None`: something is not to be had any more.
    fn span(&self, from: u64, fetched: Fetched) -> Result<Option<Span>, SubscribeError> {
        let Some(log) = &self.log else { return Ok(None) };
        let (mut frames, end) = match fetched {
            Fetched::Incomplete => return Ok(None),
            Fetched::Frames(frames, end) => (frames, end),
            Fetched::Messages(messages, end) => {
                // Of older copies only PostgreSQL can say which counted.
                if self.memory.reach() > LogPosition::new(log.epoch.ordinal(), from) {
                    return Err(SubscribeError::Unavailable("database"));
                }
                (messages.iter().flat_map(|delivery| self.counted(delivery, from)).collect(), end)
            }
        };
        frames.retain(|frame| frame.at.pos <= log.pos);
        let mut span = Span { end: end.min(log.pos).max(from), more: end < log.pos, frames };
        let bytes: usize = span.frames.iter().map(|frame| frame.push.len() + 1).sum();
        let limit = self.page_limit();
        let rest = PageLimit {
            events: limit.events.saturating_sub(span.frames.len()),
            bytes: limit.bytes.saturating_sub(bytes),
        };
        if span.more
            && rest.events > 0
            && rest.bytes > limit.bytes / 4
            && let Some(next) = self.held(span.end, rest)
        {
            span.frames.extend(next.frames);
            (span.end, span.more) = (next.end, next.more);
        }
        Ok(Some(span))
    }

    fn miss_from(&mut self, cursor: u64, from: u64) {
        if let Some(log) = &self.log {
            self.cursors.miss_one(cursor, &log.epoch, from + 1, log.pos);
        }
    }

    /// After a new log: nothing of the old one is fetched any more.
    pub(super) fn restart_replays(&mut self) {
        for (.., reply) in self.pulls.waiting.drain(..) {
            reply.send(Ok(Pulled { frames: Vec::new(), live: true })).ok();
        }
        self.pulls.fetching.clear();
        (self.pulls.filling, self.pulls.filled) = (false, None);
        self.joins.iter_mut().for_each(|join| join.waits = Waits::Not);
    }

    /// Finds out where the log really ends: is a client ahead of this gateway, or of the log?
    pub(super) fn verify_end(&mut self) {
        let Some(log) = self.log.as_ref().filter(|_| !self.pulls.ending) else { return };
        self.pulls.ending = true;
        let (context, stream, ordinal) = (self.context.clone(), log.stream.clone(), log.epoch.ordinal());
        self.beside(async move {
            let look = async {
                let _permit = context.replays.acquire().await.map_err(|_| ())?;
                attach::end(&context.broker, &stream, context.config.prefetch).await.map_err(|_| ())
            };
            Done::End(ordinal, timeout(END_LIMIT, look).await.unwrap_or(Err(())))
        });
    }

    pub(super) fn on_end(&mut self, ordinal: u32, end: Result<Option<u64>, ()>) {
        self.pulls.ending = false;
        let waiting: Vec<Join> = self.joins.extract_if(.., |join| join.waits == Waits::ForEnd).collect();
        for join in waiting {
            let same = self.log.as_ref().filter(|log| log.epoch.ordinal() == ordinal);
            let wanted = join.since.as_ref().map_or(-1, |since| signed_offset(since.pos));
            match (same, end) {
                // Another log, or read up to there meanwhile: look again.
                (None, _) => self.joins.push(join.again()),
                (Some(log), _) if wanted <= log.last.off => self.joins.push(join.again()),
                (Some(_), Ok(end)) if wanted > end.map_or(-1, |end| i64::try_from(end).unwrap_or(i64::MAX)) => {
                    self.grant(join, None);
                }
                _ => join.fail(SubscribeError::Behind),
            }
        }
    }
}
