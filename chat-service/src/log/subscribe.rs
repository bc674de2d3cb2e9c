//! Subscriptions as a room's task grants them: from the client's position on, exactly, from whatever holds those events.

use super::config::{JOIN_LIMIT, REACH_LIMIT};
use super::cursor::State;
use super::outlet::Outlet;
use super::pages::Span;
use super::room::Room;
use super::{Pulled, Since, SubscribeError, Subscribed};
use contract::position::{Epoch, offset};
use std::time::Instant;
use tokio::sync::oneshot;

/// Where the answer to a subscription goes.
pub(super) type JoinReply = oneshot::Sender<Result<Subscribed, SubscribeError>>;
/// Where a page goes.
pub(super) type PullReply = oneshot::Sender<Result<Pulled, SubscribeError>>;

/// A subscription that has not been granted yet.
pub(super) struct Join {
    pub(super) since: Option<Since>,
    outlet: Outlet,
    reply: JoinReply,
    came: Instant,
    /// Since when it waits for a position that is ahead of this gateway.
    ahead: Option<Instant>,
    pub(super) waits: Waits,
}

/// What runs beside the task for a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    Not,
    ForPage,
    ForEnd,
}

impl Join {
    pub(super) fn new(since: Option<Since>, outlet: Outlet, reply: JoinReply) -> Self {
        Self { since, outlet, reply, came: Instant::now(), ahead: None, waits: Waits::Not }
    }

    /// What it waited for is of no use: it is looked at anew.
    pub(super) fn again(self) -> Self {
        Self { waits: Waits::Not, ..self }
    }

    pub(super) fn fail(self, error: SubscribeError) {
        self.reply.send(Err(error)).ok();
    }
}

/// What can be said of a join now.
enum Next {
    Wait,
    /// From the current position on, and nothing pretended.
    Fresh,
    /// What follows on the client's position.
    From(u64),
    Fail(SubscribeError),
}

impl Room {
    /// Grants what can be granted.
    pub(super) fn advance_joins(&mut self, now: Instant) {
        for mut join in std::mem::take(&mut self.joins) {
            if join.reply.is_closed() {
                continue;
            }
            match self.next_of(&mut join, now) {
                Next::Wait => self.joins.push(join),
                Next::Fresh => self.grant(join, None),
                Next::Fail(error) => join.fail(error),
                Next::From(from) => self.grant_from(join, from),
            }
        }
    }

    fn grant_from(&mut self, mut join: Join, from: u64) {
        if let Some(span) = self.held(from, self.page_limit()) {
            self.context.meters.from_ring.increment(1);
            self.grant(join, Some(span));
        } else {
            join.waits = Waits::ForPage;
            self.joins.push(join);
            self.fill_or_fetch(from);
        }
    }

    fn next_of(&mut self, join: &mut Join, now: Instant) -> Next {
        let Some(log) = self.log.as_ref().filter(|_| self.anchored) else { return self.without_log(join, now) };
        let Some(since) = &join.since else { return Next::Fresh };
        if since.epoch != *log.epoch {
            // A later log than this gateway knows: it will soon.
            return if since.epoch.ordinal() > log.epoch.ordinal() {
                self.behind_epoch(join, now)
            } else {
                Next::Fresh
            };
        }
        let wanted = signed_offset(since.pos);
        if wanted > log.last.off {
            let ahead = *join.ahead.get_or_insert(now);
            if now.duration_since(ahead) > REACH_LIMIT && join.waits == Waits::Not {
                join.waits = Waits::ForEnd;
                self.verify_end();
            }
            return Next::Wait;
        }
        let back = u64::try_from(log.last.off - wanted).unwrap_or(0);
        if back > self.context.config.replay_offsets {
            return Next::Fresh;
        }
        // Whoever waits for an end has been overtaken by the reader.
        if join.waits == Waits::ForPage { Next::Wait } else { Next::From(since.pos) }
    }

    fn without_log(&self, join: &Join, now: Instant) -> Next {
        let late = now.duration_since(join.came) > JOIN_LIMIT;
        if late || (self.reason == "broker" && self.context.broker.is_down()) {
            return Next::Fail(SubscribeError::Unavailable(self.reason));
        }
        Next::Wait
    }

    fn behind_epoch(&mut self, join: &mut Join, now: Instant) -> Next {
        match join.ahead {
            None => {
                join.ahead = Some(now);
                self.poke();
                Next::Wait
            }
            // The row was read again meanwhile and names no such epoch: nothing is pretended. Should one come after all, `reset` follows.
            Some(ahead) if now.duration_since(ahead) > REACH_LIMIT => Next::Fresh,
            Some(_) => Next::Wait,
        }
    }

    /// Makes it a subscription: a recovered one with what follows on its position, or one from now on.
    pub(super) fn grant(&mut self, join: Join, span: Option<Span>) {
        let Some(log) = &self.log else { return join.fail(SubscribeError::Unavailable(self.reason)) };
        let recovered = span.is_some();
        let span = span.unwrap_or(Span { frames: Vec::new(), end: log.pos, more: false });
        let state = if span.more { State::Replaying(span.end) } else { State::Live };
        let cursor = self.cursor_maker.make();
        self.cursors.insert(cursor.id(), join.outlet, state);
        let epoch = Epoch::clone(&log.epoch);
        let Span { frames: events, end: pos, more } = span;
        // If nobody waits any longer the cursor is dropped with the answer, which removes the subscription again.
        join.reply.send(Ok(Subscribed { cursor, epoch, pos, recovered, events, more })).ok();
    }

    pub(super) fn on_pull(&mut self, cursor: u64, reply: PullReply) {
        let from = match self.cursors.state(cursor) {
            Some(State::Live) => {
                reply.send(Ok(Pulled { frames: Vec::new(), live: true })).ok();
                return;
            }
            Some(State::Replaying(from)) => from,
            Some(State::Lagging(_)) | None => {
                reply.send(Err(SubscribeError::Stopped)).ok();
                return;
            }
        };
        match self.held(from, self.page_limit()) {
            Some(span) => {
                self.context.meters.from_ring.increment(1);
                self.turn_page(cursor, reply, span);
            }
            None => self.fetch_for(cursor, from, reply),
        }
    }

    /// Hands a page on; behind the last one the subscription is live, from this very moment.
    pub(super) fn turn_page(&mut self, cursor: u64, reply: PullReply, span: Span) {
        let state = if span.more { State::Replaying(span.end) } else { State::Live };
        if !matches!(self.cursors.state(cursor), Some(State::Replaying(_))) {
            reply.send(Err(SubscribeError::Stopped)).ok();
            return;
        }
        self.cursors.set(cursor, state);
        if reply.send(Ok(Pulled { frames: span.frames, live: !span.more })).is_err() {
            // Nobody has what was in it, so the client is not where the cursor is.
            self.cursors.remove(cursor);
        }
    }
}

/// The offset in which a position stands; -1 before the first.
pub(super) fn signed_offset(pos: u64) -> i64 {
    offset(pos).map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX))
}
