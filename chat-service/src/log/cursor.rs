//! The subscriptions of a room: each a cursor that replays and then goes with the log. Pure.

use super::outlet::{Outlet, Push};
use super::ring::cost;
use crate::log::frame::Frame;
use contract::position::Epoch;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All of one room on this gateway.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    all: HashMap<u64, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    outlet: Outlet,
    state: State,
}

/// Where a subscription is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Events go to the outlet as they are read.
    Live,
    /// Has everything up to here; more is pulled.
    Replaying(u64),
    /// The outlet was full: nothing follows. Holds the last position that was missed.
    Lagging(Arc<AtomicU64>),
}

impl Cursors {
    pub(super) fn insert(&mut self, id: u64, outlet: Outlet, state: State) {
        self.all.insert(id, Subscription { outlet, state });
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.all.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn state(&self, id: u64) -> Option<State> {
        self.all.get(&id).map(|subscription| subscription.state.clone())
    }

    pub(super) fn set(&mut self, id: u64, state: State) {
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.state = state;
        }
    }

    /// The events of one AMQP message, to everybody who is live. Tells how many began to lag.
    pub(super) fn deliver(&mut self, epoch: &Epoch, frames: &Arc<[Arc<Frame>]>) -> usize {
        let Some(last) = frames.last() else { return 0 };
        let bytes = frames.iter().map(|frame| cost(frame)).sum();
        let mut lagging = 0;
        for (id, subscription) in &mut self.all {
            match &subscription.state {
                State::Live => {
                    let fit = subscription.outlet.offer_events(*id, frames, bytes);
                    if let Some(missed) = frames.get(fit) {
                        subscription.lag(*id, epoch, missed.at.pos, last.at.pos);
                        lagging += 1;
                    }
                }
                State::Lagging(to) => to.store(last.at.pos, Ordering::Relaxed),
                State::Replaying(_) => {}
            }
        }
        lagging
    }

    /// Positions from..=to were not read here: nobody who is live may go on as if they had been.
    pub(super) fn miss(&mut self, epoch: &Epoch, from: u64, to: u64) {
        for (id, subscription) in &mut self.all {
            if matches!(subscription.state, State::Live) {
                subscription.lag(*id, epoch, from, to);
            }
        }
    }

    /// The same for one that replays and cannot go on.
    pub(super) fn miss_one(&mut self, id: u64, epoch: &Epoch, from: u64, to: u64) {
        if let Some(subscription) = self.all.get_mut(&id) {
            subscription.lag(id, epoch, from, to);
        }
    }

    /// The room has a new log: everybody goes on in it, live, but those who were told to come back.
    pub(super) fn reset(&mut self, epoch: &Epoch, pos: u64) {
        for (id, subscription) in &mut self.all {
            if !matches!(subscription.state, State::Lagging(_)) {
                subscription.state = State::Live;
                subscription.outlet.offer(Push::Reset { cursor: *id, epoch: epoch.clone(), pos });
            }
        }
    }

    /// The room is gone.
    pub(super) fn end(&mut self) {
        for (id, subscription) in self.all.drain() {
            subscription.outlet.offer(Push::Gone { cursor: id });
        }
    }

    /// Forgets those whose sockets are gone.
    pub(super) fn sweep(&mut self) {
        self.all.retain(|_, subscription| !subscription.outlet.is_closed());
    }
}

impl Subscription {
    fn lag(&mut self, id: u64, epoch: &Epoch, from: u64, to: u64) {
        let last = Arc::new(AtomicU64::new(to));
        self.outlet.lagged(id, epoch.clone(), from, last.clone());
        self.state = State::Lagging(last);
    }
}
