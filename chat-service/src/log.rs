//! The room log over RabbitMQ: one ordered, durable stream per room. DESIGN section 2.
//! A room that somebody here reads or writes has one task, one stream consumer, one ring of frames. This file is the door to all of it.

mod apply;
pub(crate) mod attach;
mod clock;
mod config;
mod cursor;
mod cursor_handle;
pub(crate) mod dedup;
pub(crate) mod delivery;
pub(crate) mod frame;
mod meters;
mod opening;
mod outgoing;
pub(crate) mod outlet;
mod pages;
mod publish;
mod reader;
mod registry;
mod replace;
mod replay;
mod retained;
mod ring;
mod room;
mod salvage;
mod subscribe;

pub(crate) use config::Config;
pub(crate) use cursor_handle::Cursor;

use crate::broker::Broker;
use crate::live::Live;
use clock::Started;
use config::WAITING_BYTES;
use contract::event::{Body, User};
use contract::position::{Epoch, LogPosition, offset};
use contract::room::RoomName;
use frame::{Frame, Notice};
use outgoing::draft_bytes;
use outlet::Outlet;
use registry::{Command, Registry};
use service::shutdown::Shutdown;
use sqlx::PgPool;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

/// A room's task answers within its own limits, which are below this.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A room as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RoomKey {
    /// The room's UUID.
    pub(crate) id: Uuid,
    /// Its address.
    pub(crate) name: RoomName,
}

/// Something to append; permission, limits and shape were decided before.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// `None`: the system.
    pub(crate) sender: Option<User>,
    /// Message id, `op`, or derived from the cause.
    pub(crate) key: Uuid,
    /// [`hash`] of the command as first sent.
    pub(crate) hash: String,
    /// What to say.
    pub(crate) body: Body,
    /// Rows of the outbox: the stored position when the row was written. `None`: the log finds out.
    pub(crate) after: Option<LogPosition>,
}

/// The event stands in the log, read back from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Epoch of its first copy.
    pub(crate) epoch: Epoch,
    /// Position of its first copy.
    pub(crate) pos: u64,
    /// Time of its first copy.
    pub(crate) time: Arc<str>,
    /// It stood there before this command.
    pub(crate) duplicate: bool,
}

/// Why an append was not answered with a position. All but `Conflict`, `Closed` and `NotFound` are temporary: outcome unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The same key stands there with another body: `idempotency_conflict`.
    #[error("this id was used for something else in this room")]
    Conflict,
    /// The room is closed to sending: `conflict`/`room_closed`.
    #[error("the room is closed")]
    Closed,
    /// No such room (any longer).
    #[error("there is no such room")]
    NotFound,
    /// `unavailable` with this reason (`history_behind`, `broker`, `database`, `log_changing`, `timeout`, `busy`, …).
    #[error("the room cannot take messages now ({0})")]
    Unavailable(&'static str),
}

/// A client's position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Since {
    /// Epoch that `pos` belongs to.
    pub(crate) epoch: Epoch,
    /// Last position that the client has.
    pub(crate) pos: u64,
}

/// The answer to a subscription.
#[derive(Debug)]
pub(crate) struct Subscribed {
    /// Ends the subscription when dropped.
    pub(crate) cursor: Cursor,
    /// Current epoch.
    pub(crate) epoch: Epoch,
    /// Last position that this answer covers.
    pub(crate) pos: u64,
    /// Exactly the events after the client's position follow, first those in `events`.
    pub(crate) recovered: bool,
    /// At most 500 and 256 KiB.
    pub(crate) events: Vec<Arc<Frame>>,
    /// More are there: [`Logs::pull`] until it is live.
    pub(crate) more: bool,
}

/// One page of a replay.
#[derive(Debug)]
pub(crate) struct Pulled {
    /// At most 500 and 256 KiB, in order.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// From here on events come through the outlet; do not pull again.
    pub(crate) live: bool,
}

/// Why a subscription or a page of it did not come. All are temporary but `NotFound`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// No such room (any longer).
    #[error("there is no such room")]
    NotFound,
    /// This gateway has not yet read up to the client's position.
    #[error("this gateway is behind the position")]
    Behind,
    /// The events are not to be had now (`broker`, `database`, `log_changing`, `timeout`).
    #[error("the room cannot be read now ({0})")]
    Unavailable(&'static str),
    /// The cursor was stopped (`lagged`, `reset`): subscribe again.
    #[error("the subscription has ended")]
    Stopped,
}

/// What stands in the log beyond a stored position, for pages of history.
#[derive(Debug)]
pub(crate) struct Beyond {
    /// Counted events in (stored, applied], in order.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// Current epoch.
    pub(crate) epoch: Epoch,
    /// Up to where `frames` reach.
    pub(crate) applied: u64,
}

/// A membership or room event that was just read, of any room that has a reader here.
#[derive(Debug, Clone)]
pub(crate) struct RoomNotice {
    /// Which room.
    pub(crate) room: RoomKey,
    /// What.
    pub(crate) notice: Notice,
}

/// All room logs of this process. Cheap to clone; ends with its last clone.
#[derive(Clone)]
pub(crate) struct Logs {
    registry: Arc<Registry>,
}

impl Logs {
    /// Rooms are opened on demand and closed 60 s after their last use.
    pub(crate) fn start(pool: PgPool, broker: Broker, live: Live, gateway: &str, shutdown: &Shutdown) -> Self {
        Self::start_with(pool, broker, live, gateway, shutdown, Config::default())
    }

    /// The same, with other limits. A shutdown changes nothing here: what is on its way then still needs the logs.
    pub(crate) fn start_with(
        pool: PgPool,
        broker: Broker,
        live: Live,
        gateway: &str,
        _shutdown: &Shutdown,
        config: Config,
    ) -> Self {
        Self { registry: Registry::start(pool, broker, live, gateway, config) }
    }

    /// Appends: the order of calls is the order in the log (of calls that are not answered with an error). Answers within about 10 s.
    /// The call itself takes the place in the queue; the future only waits for the answer, and dropping it withdraws nothing.
    pub(crate) fn append(
        &self,
        room: &RoomKey,
        draft: Draft,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let started = Started::now();
        let (reply, answer) = oneshot::channel();
        let bytes = draft_bytes(&draft);
        let placed = self.registry.with(room, |handle| {
            let waiting = handle.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
            let fits = waiting + bytes <= WAITING_BYTES
                && handle.commands.try_send(Command::Append(Box::new(draft), started, reply)).is_ok();
            if !fits {
                handle.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            fits
        });
        async move {
            if !placed {
                return Err(AppendError::Unavailable("busy"));
            }
            answer.await.unwrap_or(Err(AppendError::Unavailable("stopping")))
        }
    }

    /// Subscribes an outlet from the client's position. Answers within about 10 s.
    pub(crate) async fn subscribe(
        &self,
        room: &RoomKey,
        since: Option<Since>,
        outlet: &Outlet,
    ) -> Result<Subscribed, SubscribeError> {
        let outlet = outlet.clone();
        self.ask(room, |reply| Command::Join { since, outlet, reply }).await
    }

    /// The next page of a replay that [`Subscribed::more`] announced.
    pub(crate) async fn pull(&self, cursor: &Cursor) -> Result<Pulled, SubscribeError> {
        timeout(ANSWER_LIMIT, cursor.pull()).await.unwrap_or(Err(SubscribeError::Unavailable("timeout")))
    }

    /// What a reader of this gateway has beyond `stored`; opens a reader only if `open`. `None`: no reader here, nothing to add.
    pub(crate) async fn beyond(
        &self,
        room: &RoomKey,
        stored: LogPosition,
        open: bool,
    ) -> Result<Option<Beyond>, SubscribeError> {
        if !open && self.registry.find(room.id).is_none() {
            return Ok(None);
        }
        self.ask(room, |reply| Command::Beyond(stored, reply)).await
    }

    /// The position up to which this gateway has read the room's current log, if it has a reader.
    pub(crate) fn applied(&self, room: Uuid) -> Option<(Epoch, u64)> {
        let handle = self.registry.find(room)?;
        let applied = handle.applied.borrow();
        applied.as_ref().map(|(epoch, pos)| (Epoch::clone(epoch), *pos))
    }

    /// Waits until this gateway has read up to `at` (opening a reader), at most `limit`.
    pub(crate) async fn reach(&self, room: &RoomKey, at: &Since, limit: Duration) -> Result<(), SubscribeError> {
        let mut applied = self.registry.with(room, |handle| {
            handle.commands.try_send(Command::Touch).ok();
            handle.applied.clone()
        });
        let reached = |applied: &registry::Applied| {
            applied.as_ref().is_some_and(|(epoch, pos)| {
                epoch.ordinal() > at.epoch.ordinal() || (**epoch == at.epoch && offset(*pos) >= offset(at.pos))
            })
        };
        match timeout(limit, applied.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SubscribeError::Behind),
        }
    }

    /// Membership and room events as they are read.
    pub(crate) fn notices(&self) -> broadcast::Receiver<RoomNotice> {
        self.registry.context.notices.subscribe()
    }

    async fn ask<T>(
        &self,
        room: &RoomKey,
        command: impl FnOnce(oneshot::Sender<Result<T, SubscribeError>>) -> Command,
    ) -> Result<T, SubscribeError> {
        let (reply, answer) = oneshot::channel();
        let placed = self.registry.with(room, |handle| handle.commands.try_send(command(reply)).is_ok());
        if !placed {
            return Err(SubscribeError::Unavailable("busy"));
        }
        match timeout(ANSWER_LIMIT, answer).await {
            Ok(answer) => answer.unwrap_or(Err(SubscribeError::Unavailable("stopping"))),
            Err(_) => Err(SubscribeError::Unavailable("timeout")),
        }
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logs")
    }
}

/// Identity of a command's content: equal commands have equal hashes. URL-safe base64 of the first 16 bytes of SHA-256 over its JSON.
pub(crate) fn hash(body: &Body) -> String {
    use base64::Engine as _;
    let json = serde_json::to_vec(body).unwrap_or_default();
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, &json);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests;
