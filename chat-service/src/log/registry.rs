//! The rooms that are open here, and the one query that watches all their rows.

use super::clock::Started;
use super::config::{COMMANDS, Config};
use super::cursor_handle::Cursor;
use super::meters::Meters;
use super::outgoing::Reply;
use super::outlet::Outlet;
use super::room::{self, Room};
use super::{Beyond, Draft, Pulled, RoomKey, RoomNotice, Since, SubscribeError, Subscribed};
use crate::broker::Broker;
use crate::live::{Hint, Live};
use crate::store::logs::{self, LogRow, Salvage};
use contract::position::{Epoch, LogPosition};
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

/// What all rooms share.
pub(super) struct Context {
    pub(super) pool: PgPool,
    pub(super) broker: Broker,
    pub(super) config: Config,
    pub(super) gateway: String,
    /// Hints are told as long as somebody listens to them.
    _live: Live,
    pub(super) notices: broadcast::Sender<RoomNotice>,
    /// Rooms whose rows are to be read now.
    pub(super) pokes: mpsc::Sender<Uuid>,
    pub(super) replays: Semaphore,
    /// Bytes beyond the stored positions of all rooms.
    pub(super) unstored: AtomicUsize,
    pub(super) meters: Meters,
    /// When PostgreSQL last failed to answer a replay.
    database_failed: Mutex<Option<Instant>>,
}

/// So long after a failure nobody waits for PostgreSQL where there is another way.
const DATABASE_REST: Duration = Duration::from_secs(3);

impl Context {
    pub(super) fn database_failed(&self) {
        *self.database_failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn database_rests(&self) -> bool {
        let failed = *self.database_failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|then| then.elapsed() < DATABASE_REST)
    }
}

/// What a room's task is asked.
pub(super) enum Command {
    Append(Box<Draft>, Started, Reply),
    Join {
        since: Option<Since>,
        outlet: Outlet,
        reply: oneshot::Sender<Result<Subscribed, SubscribeError>>,
    },
    Pull(u64, oneshot::Sender<Result<Pulled, SubscribeError>>),
    Beyond(LogPosition, oneshot::Sender<Result<Option<Beyond>, SubscribeError>>),
    /// Somebody waits for what it reads.
    Touch,
}

/// What it is told.
pub(super) enum Control {
    /// A cursor was dropped.
    Dropped(u64),
    /// A deleted log of its room is to be handed over.
    Salvage(Salvage),
}

/// What PostgreSQL says of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// Not asked yet.
    Unknown,
    /// There is no such room.
    Missing,
    /// Its log in use, if it has one now.
    Log(Option<LogRow>),
}

/// Up to where a room was read.
pub(super) type Applied = Option<(Arc<Epoch>, u64)>;

/// The way to a room's task.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    /// Without a bound of its own, so that a drop never waits: one word for each cursor, of which a socket has a limited number, and one for each log that was deleted.
    pub(super) control: mpsc::UnboundedSender<Control>,
    pub(super) applied: watch::Receiver<Applied>,
    rows: Arc<watch::Sender<Row>>,
    /// Bytes of drafts in the queue.
    pub(super) waiting_bytes: Arc<AtomicUsize>,
}

/// All rooms of this process.
pub(super) struct Registry {
    rooms: Mutex<HashMap<Uuid, Handle>>,
    pub(super) context: Arc<Context>,
}

impl Registry {
    pub(super) fn start(pool: PgPool, broker: Broker, live: Live, gateway: &str, config: Config) -> Arc<Self> {
        let (pokes, poked) = mpsc::channel(1024);
        let hints = live.hints();
        let context = Context {
            pool,
            broker,
            replays: Semaphore::new(config.replays),
            config,
            gateway: gateway.to_owned(),
            _live: live,
            notices: broadcast::channel(4096).0,
            pokes,
            unstored: AtomicUsize::new(0),
            meters: Meters::new(),
            database_failed: Mutex::default(),
        };
        let registry = Arc::new(Self { rooms: Mutex::default(), context: Arc::new(context) });
        tokio::spawn(watch_rows(Arc::downgrade(&registry), poked, hints));
        registry
    }

    /// Does something with the way to a room's task, which is started if need be. Holding the lock meanwhile keeps the task from
    /// leaving just now.
    pub(super) fn with<T>(self: &Arc<Self>, room: &RoomKey, act: impl FnOnce(&Handle) -> T) -> T {
        let mut rooms = self.lock();
        let handle = rooms.entry(room.id).or_insert_with(|| self.open(room));
        act(handle)
    }

    /// The way to a room's task, if it has one.
    pub(super) fn find(&self, room: Uuid) -> Option<Handle> {
        self.lock().get(&room).cloned()
    }

    /// Forgets a room whose task ends, unless somebody asked it something.
    pub(super) fn leave(&self, room: Uuid, commands: &mpsc::Receiver<Command>, whatever: bool) -> bool {
        let mut rooms = self.lock();
        let may = whatever || commands.is_empty();
        if may {
            rooms.remove(&room);
            self.context.meters.rooms.decrement(1);
        }
        may
    }

    fn open(self: &Arc<Self>, room: &RoomKey) -> Handle {
        let (commands, received) = mpsc::channel(COMMANDS);
        let (control, controlled) = mpsc::unbounded_channel();
        let (applied, applied_seen) = watch::channel(None);
        let (rows, row) = watch::channel(Row::Unknown);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let ends = room::Ends { commands: received, control: controlled, rows: row, applied };
        let cursors = Cursor::maker(&commands, &control);
        let task =
            Room::new(room.clone(), self.context.clone(), Arc::downgrade(self), ends, cursors, waiting_bytes.clone());
        tokio::spawn(task.run());
        self.context.meters.rooms.increment(1);
        Handle { commands, control, applied: applied_seen, rows: Arc::new(rows), waiting_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Handle>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rows of `rooms` and hands them on.
    async fn look(&self, rooms: &[Uuid]) -> Result<(), sqlx::Error> {
        if rooms.is_empty() {
            return Ok(());
        }
        let mut missing: HashSet<Uuid> = rooms.iter().copied().collect();
        let current = logs::current(&self.context.pool, rooms).await?;
        let open = self.lock();
        for current in current {
            missing.remove(&current.room);
            if let Some(handle) = open.get(&current.room) {
                hand_on(&handle.rows, Row::Log(current.log));
            }
        }
        for handle in missing.iter().filter_map(|room| open.get(room)) {
            hand_on(&handle.rows, Row::Missing);
        }
        Ok(())
    }

    /// Hands on what is to be salvaged; of rooms that have no reader here there is nothing.
    async fn salvage(&self) -> Result<(), sqlx::Error> {
        for salvage in logs::salvages(&self.context.pool, &self.context.gateway).await? {
            let log = salvage.log;
            let told =
                self.find(salvage.room.id).is_some_and(|handle| handle.control.send(Control::Salvage(salvage)).is_ok());
            if !told {
                logs::salvaged(&self.context.pool, log, &self.context.gateway).await?;
            }
        }
        Ok(())
    }
}

fn hand_on(rows: &watch::Sender<Row>, row: Row) {
    rows.send_if_modified(|known| {
        let changed = *known != row;
        *known = row;
        changed
    });
}

/// Reads the rows of all open rooms every two seconds, and of single ones when there is a hint. Ends with the registry.
async fn watch_rows(registry: Weak<Registry>, mut poked: mpsc::Receiver<Uuid>, mut hints: broadcast::Receiver<Hint>) {
    let every = match registry.upgrade() {
        Some(registry) => registry.context.config.poll,
        None => return,
    };
    let mut all = tokio::time::interval(every);
    all.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let some: Option<Vec<Uuid>> = tokio::select! {
            _ = all.tick() => None,
            Some(room) = poked.recv() => Some(more(room, &mut poked)),
            hint = hints.recv() => match hint {
                Ok(Hint::RoomChanged { room }) => Some(vec![room]),
                Ok(Hint::RoomsChanged { .. }) => continue,
                // Hints were lost: look at all.
                Err(broadcast::error::RecvError::Lagged(_)) => None,
                Err(broadcast::error::RecvError::Closed) => {
                    tokio::time::sleep(every).await;
                    None
                }
            },
        };
        let Some(registry) = registry.upgrade() else { return };
        let open = |room: &Uuid| registry.lock().contains_key(room);
        let rooms: Vec<Uuid> = match some {
            Some(rooms) => rooms.into_iter().filter(open).collect(),
            None => registry.lock().keys().copied().collect(),
        };
        let look = async {
            registry.look(&rooms).await?;
            registry.salvage().await
        };
        match timeout(Duration::from_secs(10), look).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "failed to read the rows of open rooms"),
            Err(_) => tracing::debug!("failed to read the rows of open rooms in time"),
        }
    }
}

/// Several that came together are one query; a short wait makes a row that changes just now more likely to be seen changed.
fn more(first: Uuid, poked: &mut mpsc::Receiver<Uuid>) -> Vec<Uuid> {
    let mut rooms = vec![first];
    while let Ok(room) = poked.try_recv() {
        if !rooms.contains(&room) {
            rooms.push(room);
        }
    }
    rooms
}
