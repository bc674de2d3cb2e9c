//! Where a room's task puts what a socket is to send: bounded in bytes, never waited for.

use crate::log::frame::Frame;
use crate::log::ring::cost;
use contract::position::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// What a room tells a socket. `cursor` is [`crate::log::Cursor::id`]: pushes of an older subscription are passed by.
#[derive(Debug, Clone)]
pub(crate) enum Push {
    /// A live event.
    Event {
        /// Subscription.
        cursor: u64,
        /// The event.
        frame: Arc<Frame>,
    },
    /// Events from..=to did not fit; nothing of this subscription follows.
    Lagged {
        /// Subscription.
        cursor: u64,
        /// Of the positions.
        epoch: Epoch,
        /// First missed.
        from: u64,
        /// Last missed.
        to: u64,
    },
    /// The room has a new log, live from `pos` there: this subscription goes on in it.
    Reset {
        /// Subscription.
        cursor: u64,
        /// The new log.
        epoch: Epoch,
        /// Live from here.
        pos: u64,
    },
    /// The room is gone for good; nothing follows.
    Gone {
        /// Subscription.
        cursor: u64,
    },
}

/// As it lies in the queue.
#[derive(Debug)]
enum Queued {
    One(Push),
    /// The events of one AMQP message, from an index on.
    Events(u64, Arc<[Arc<Frame>]>),
    /// What was missed grows until the socket hears of it.
    Lagged(u64, Epoch, u64, Arc<AtomicU64>),
}

/// The rooms' end; one per socket, shared by its subscriptions. Bounded in bytes: an event that does not fit is refused. The
/// others need no bound: a subscription lags once and is gone once, of which a socket has a limited number, and is reset once per epoch.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    pushes: mpsc::UnboundedSender<Queued>,
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
}

/// The socket's end.
#[derive(Debug)]
pub(crate) struct Inlet {
    pushes: mpsc::UnboundedReceiver<Queued>,
    bytes: Arc<AtomicUsize>,
    /// Events that were taken out together, and how many of them were handed on.
    current: Option<Current>,
}

/// An outlet that holds at most `bytes` of events that the socket has not taken yet.
pub(crate) fn outlet(bytes: usize) -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let held = Arc::new(AtomicUsize::new(0));
    (
        Outlet { pushes: sender, bytes: held.clone(), most_bytes: bytes },
        Inlet { pushes: receiver, bytes: held, current: None },
    )
}

/// Subscription, its events, and the next of them.
type Current = (u64, Arc<[Arc<Frame>]>, usize);

impl Outlet {
    /// Puts it in if it fits; small pushes that are no events always fit. False: full, or the socket is gone.
    pub(crate) fn offer(&self, push: Push) -> bool {
        if let Push::Event { frame, .. } = &push
            && !self.take_room(cost(frame))
        {
            return false;
        }
        self.pushes.send(Queued::One(push)).is_ok()
    }

    /// Puts in as many of the events as fit, in order; tells how many did. `bytes` is what all of them cost.
    pub(super) fn offer_events(&self, cursor: u64, frames: &Arc<[Arc<Frame>]>, bytes: usize) -> usize {
        if self.take_room(bytes) {
            return if self.pushes.send(Queued::Events(cursor, frames.clone())).is_ok() { frames.len() } else { 0 };
        }
        let fit = |frame: &&Arc<Frame>| self.offer(Push::Event { cursor, frame: (*frame).clone() });
        frames.iter().take_while(fit).count()
    }

    /// Tells the socket, once it has taken what is before, that it missed `from` up to what `to` says then.
    pub(super) fn lagged(&self, cursor: u64, epoch: Epoch, from: u64, to: Arc<AtomicU64>) {
        self.pushes.send(Queued::Lagged(cursor, epoch, from, to)).ok();
    }

    /// Whether the socket is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.pushes.is_closed()
    }

    fn take_room(&self, bytes: usize) -> bool {
        let with = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // One that alone exceeds the bound still goes through an empty outlet, else it would never be delivered.
        let fits = with <= self.most_bytes || with == bytes;
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Inlet {
    /// The next push; `None` never comes while an [`Outlet`] lives. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        if let Some(push) = self.of_current() {
            return Some(push);
        }
        let queued = self.pushes.recv().await?;
        self.open(queued)
    }

    /// More, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<Push> {
        if let Some(push) = self.of_current() {
            return Some(push);
        }
        let queued = self.pushes.try_recv().ok()?;
        self.open(queued)
    }

    fn open(&mut self, queued: Queued) -> Option<Push> {
        match queued {
            Queued::One(push) => {
                if let Push::Event { frame, .. } = &push {
                    self.give_room(cost(frame));
                }
                Some(push)
            }
            Queued::Events(cursor, frames) => {
                self.current = Some((cursor, frames, 0));
                self.of_current()
            }
            Queued::Lagged(cursor, epoch, from, to) => {
                Some(Push::Lagged { cursor, epoch, from, to: to.load(Ordering::Relaxed).max(from) })
            }
        }
    }

    fn of_current(&mut self) -> Option<Push> {
        let (cursor, frames, next) = self.current.as_mut()?;
        let push = frames.get(*next).map(|frame| Push::Event { cursor: *cursor, frame: frame.clone() });
        *next += 1;
        match &push {
            Some(Push::Event { frame, .. }) => self.give_room(cost(frame)),
            _ => self.current = None,
        }
        push
    }

    fn give_room(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::position::LogPosition;

    fn frames(positions: std::ops::Range<u64>) -> Arc<[Arc<Frame>]> {
        positions
            .map(|pos| Arc::new(Frame { at: LogPosition::new(1, pos), push: vec![b'x'; 100].into(), notice: None }))
            .collect()
    }

    fn all(inlet: &mut Inlet) -> Vec<String> {
        std::iter::from_fn(|| inlet.try_next())
            .map(|push| match push {
                Push::Event { frame, .. } => frame.at.pos.to_string(),
                Push::Lagged { from, to, .. } => format!("lagged {from} {to}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn events_go_in_while_they_fit_and_what_was_missed_grows_until_it_is_told() {
        let each = cost(&frames(0..1)[0]);
        let (outlet, mut inlet) = outlet(4 * each);
        assert_eq!(outlet.offer_events(7, &frames(1..4), 3 * each), 3);
        assert_eq!(outlet.offer_events(7, &frames(4..7), 3 * each), 1);
        let to = Arc::new(AtomicU64::new(6));
        outlet.lagged(7, "1-abcdef".parse().unwrap(), 5, to.clone());
        to.store(9, Ordering::Relaxed);
        assert_eq!(all(&mut inlet), ["1", "2", "3", "4", "lagged 5 9"]);
        // All room is given back.
        assert_eq!(outlet.offer_events(8, &frames(10..14), 4 * each), 4);
        assert!(!outlet.offer(Push::Event { cursor: 8, frame: frames(0..1)[0].clone() }));
        assert!(outlet.offer(Push::Gone { cursor: 8 }));
        assert_eq!(all(&mut inlet).len(), 5);
    }

    #[test]
    fn one_that_is_larger_than_the_bound_passes_alone() {
        let (outlet, mut inlet) = outlet(10);
        assert_eq!(outlet.offer_events(1, &frames(1..3), 2 * cost(&frames(0..1)[0])), 2);
        assert_eq!(outlet.offer_events(1, &frames(3..4), cost(&frames(0..1)[0])), 0);
        assert_eq!(all(&mut inlet), ["1", "2"]);
        drop(inlet);
        assert!(outlet.is_closed() && outlet.offer_events(1, &frames(1..2), 1) == 0);
    }
}
