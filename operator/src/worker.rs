//! The one worker of the platform: it waits for something to happen, and decides what is worked on next. All I/O happens in jobs
//! that it starts, at most one look at the servers or two passes over different rooms at a time.

mod decide;
mod hints;
mod jobs;
mod lanes;
mod refresh;
mod schedule;
mod state;

use std::sync::Arc;

use contract::room::RoomName;
use futures::StreamExt;
use service::shutdown::Shutdown;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::broker::events::Hint;
use crate::context::Context;
use crate::platform::Extent;
use crate::report::Board;
use crate::source::Scan;

pub(crate) use state::{Settings, State};

/// A command to one platform's worker.
#[derive(Debug)]
pub(crate) struct Command {
    /// Whose; `None`: of the one that there is.
    pub(crate) platform: Option<RoomName>,
    /// What.
    pub(crate) order: Order,
}

/// Something that a person asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// The withdrawals that are held are meant; answers with the rooms.
    ConfirmWithdrawals(oneshot::Sender<Vec<RoomName>>),
    /// The logs that are not in the broker are lost; answers whether anything waited for that.
    ConfirmLostLogs(oneshot::Sender<bool>),
}

/// What the worker hears.
pub(crate) struct Ears {
    /// Each look at the folder.
    pub(crate) scans: watch::Receiver<Arc<Scan>>,
    /// Asks for another look at the folder.
    pub(crate) again: Arc<Notify>,
    /// What people ask for.
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// Works until shutdown, or until it is dropped. `hints`: what RabbitMQ says happened, if it is listened to.
pub(crate) async fn run(
    context: Context,
    board: Board,
    settings: Settings,
    ears: &mut Ears,
    mut hints: Option<mpsc::Receiver<Hint>>,
    shutdown: &Shutdown,
) {
    let mut state = State::new(context, board, settings, hints.is_some());
    loop {
        state.start_jobs();
        let wake = state.wake();
        tokio::select! {
            () = shutdown.begun() => break,
            Some(done) = state.jobs.next(), if !state.jobs.is_empty() => state.finish(done),
            changed = ears.scans.changed() => match changed {
                Ok(()) => { let scan = ears.scans.borrow_and_update().clone(); state.see(scan); }
                // The folder's watcher ended, as it does at shutdown.
                Err(_) => break,
            },
            hint = next(&mut hints) => match hint {
                Some(hint) => state.hear(hint),
                None => hints = None,
            },
            Some(command) = ears.commands.recv() => state.obey(command.order, &ears.again),
            () = sleep_until(wake) => state.tick(&ears.again),
        }
    }
    tracing::info!("the worker stops; what it did not finish is found at the next start");
}

async fn next(hints: &mut Option<mpsc::Receiver<Hint>>) -> Option<Hint> {
    match hints {
        Some(hints) => hints.recv().await,
        None => std::future::pending().await,
    }
}

impl State {
    fn obey(&mut self, order: Order, again: &Notify) {
        // One who no longer waits for the answer asked nevertheless.
        match order {
            Order::ConfirmWithdrawals(reply) => {
                let rooms = self.withdrawals.confirm();
                tracing::info!(rooms = rooms.len(), "withdrawals were confirmed by hand");
                again.notify_one();
                reply.send(rooms).ok();
            }
            Order::ConfirmLostLogs(reply) => {
                let waited = self.lost_waits();
                self.confirmed_loss |= waited;
                if waited {
                    tracing::warn!("the loss of all logs was confirmed by hand");
                    self.schedule.ask(Extent::All, Instant::now());
                }
                reply.send(waited).ok();
            }
        }
    }
}
