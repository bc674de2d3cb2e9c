//! Commands of one socket that must keep their order although each waits for something of its own: they take a turn when they
//! come, and the next may go on when the one before is done or given up.

use contract::room::RoomName;
use std::collections::HashMap;
use tokio::sync::oneshot;

/// More rooms than this are looked through for turns that are over.
const FEW: usize = 16;

/// The last turn of each room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: HashMap<RoomName, oneshot::Receiver<()>>,
}

/// A place in the row. Dropping it lets the next one go on.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turns {
    /// Takes the next place.
    pub(super) fn take(&mut self, room: &RoomName) -> Turn {
        if self.last.len() >= FEW {
            self.last.retain(|_, over| matches!(over.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        }
        let (over, next) = oneshot::channel();
        Turn { before: self.last.insert(room.clone(), next), _over: over }
    }
}

impl Turn {
    /// Waits until all before are over.
    pub(super) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // Only ever dropped, never sent.
            before.await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn turns_of_a_room_come_in_order_and_those_of_others_at_once() {
        let mut turns = Turns::default();
        let (a, b): (RoomName, RoomName) = ("a/a".parse().unwrap(), "a/b".parse().unwrap());
        let mut first = turns.take(&a);
        let mut second = turns.take(&a);
        let mut other = turns.take(&b);
        assert!(other.come().now_or_never().is_some() && first.come().now_or_never().is_some());
        let waiting = tokio::spawn(async move { second.come().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        let mut third = turns.take(&a);
        assert!(third.come().now_or_never().is_some());
    }

    #[test]
    fn turns_that_are_over_are_forgotten() {
        let mut turns = Turns::default();
        for number in 0..100 {
            drop(turns.take(&format!("a/r{number}").parse().unwrap()));
        }
        assert!(turns.last.len() <= FEW);
    }
}
