//! A subscription as its owner holds it.

use super::registry::{Command, Control};
use super::{Pulled, SubscribeError};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// A subscription of one socket to one room. Dropping it unsubscribes.
#[derive(Debug)]
pub(crate) struct Cursor {
    id: u64,
    /// Weak: a cursor that somebody forgot must not keep a room's task that has ended reachable.
    commands: mpsc::WeakSender<Command>,
    control: mpsc::UnboundedSender<Control>,
}

/// Makes the cursors of one room.
pub(super) struct Maker {
    commands: mpsc::WeakSender<Command>,
    control: mpsc::UnboundedSender<Control>,
}

impl Cursor {
    pub(super) fn maker(commands: &mpsc::Sender<Command>, control: &mpsc::UnboundedSender<Control>) -> Maker {
        Maker { commands: commands.downgrade(), control: control.clone() }
    }

    /// Stands in every [`super::outlet::Push`] of this subscription.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(super) async fn pull(&self) -> Result<Pulled, SubscribeError> {
        let commands = self.commands.upgrade().ok_or(SubscribeError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        commands.send(Command::Pull(self.id, reply)).await.map_err(|_| SubscribeError::Stopped)?;
        answer.await.unwrap_or(Err(SubscribeError::Stopped))
    }
}

impl Maker {
    pub(super) fn make(&self) -> Cursor {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Cursor { id, commands: self.commands.clone(), control: self.control.clone() }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.control.send(Control::Dropped(self.id)).ok();
    }
}
