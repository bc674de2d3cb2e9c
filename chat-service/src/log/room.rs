//! One room's task: all that is decided about a room on this gateway is decided here, in one place and one after another; what
//! takes time (PostgreSQL, the broker) runs beside it and comes back as [`Done`].

use super::apply::Deciding;
use super::attach::Anchor;
use super::config::RECALL;
use super::cursor::Cursors;
use super::cursor_handle::Maker;
use super::dedup::{Key, Memory};
use super::outgoing::{Outgoing, draft_bytes};
use super::pages::Pulls;
use super::reader::Reader;
use super::registry::{Applied, Command, Context, Control, Registry, Row};
use super::replay::Fetched;
use super::retained::Retained;
use super::ring::Ring;
use super::subscribe::Join;
use super::{AppendError, RoomKey, SubscribeError, salvage};
use crate::broker::Published;
use crate::log::frame::Frame;
use crate::store::keys::LookedUp;
use crate::store::logs::Kept;
use contract::position::{Epoch, LogPosition};
use contract::standing::Standing;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often deadlines are looked at while somebody waits.
const BUSY_TICK: Duration = Duration::from_millis(50);
const IDLE_TICK: Duration = Duration::from_secs(5);
/// A log that is being changed is looked at so often.
const CHANGING_POKE: Duration = Duration::from_millis(300);
/// Commands that are taken at once.
const COMMANDS_AT_ONCE: usize = 256;

/// A room's task.
pub(super) struct Room {
    pub(super) key: RoomKey,
    pub(super) context: Arc<Context>,
    registry: Weak<Registry>,
    ends: Ends,
    waiting_bytes: Arc<AtomicUsize>,
    pub(super) cursor_maker: Maker,
    /// One word for each piece of work beside this task, of which this task starts a limited number.
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),

    /// The log in use, once it is known.
    pub(super) log: Option<Log>,
    pub(super) standing: Standing,
    pub(super) memory: Memory,
    /// Names of the room's logs that positions are told in.
    pub(super) epochs: BTreeMap<u32, Epoch>,
    pub(super) reader: Reader,
    pub(super) deciding: Option<Deciding>,
    /// Why there is no reader, for those who wait for one.
    pub(super) reason: &'static str,
    /// A reader stood on this log once: what is known of it is true, if not the newest.
    pub(super) anchored: bool,

    pub(super) ring: Ring,
    pub(super) retained: Retained,
    pub(super) outgoing: Outgoing,
    /// A look-up for waiting commands is on its way.
    pub(super) asking: bool,
    pub(super) cursors: Cursors,
    pub(super) joins: Vec<Join>,
    pub(super) pulls: Pulls,

    last_use: Instant,
    last_poke: Instant,
    /// What this room added to the sums of all rooms.
    counted: (usize, usize),
    pub(super) gone: bool,
}

/// This task's ends of its channels.
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) control: mpsc::UnboundedReceiver<Control>,
    pub(super) rows: watch::Receiver<Row>,
    pub(super) applied: watch::Sender<Applied>,
}

/// The log in use.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) id: i64,
    pub(super) stream: String,
    pub(super) routing_key: String,
    pub(super) epoch: Arc<Epoch>,
    /// The last message that was read.
    pub(super) last: Anchor,
    /// Everything up to here was read.
    pub(super) pos: u64,
    /// What the historian has, as far as is known here.
    pub(super) stored_off: i64,
    pub(super) stored_pos: u64,
    pub(super) kept: Kept,
}

impl Log {
    pub(super) fn applied(&self) -> LogPosition {
        LogPosition::new(self.epoch.ordinal(), self.pos)
    }
}

/// What ran beside the task and has ended.
pub(super) enum Done {
    /// A look-up for waiting commands.
    Asked(Vec<Key>, Result<LookedUp, sqlx::Error>),
    /// A look-up for copies that were read.
    Decided(u64, Result<LookedUp, sqlx::Error>),
    /// A publish.
    Published(u64, Published),
    /// A page of a replay from a position of an epoch.
    Fetched(u32, u64, Result<Fetched, SubscribeError>),
    /// Frames before the ring's floor.
    Tail(u32, u64, Vec<Arc<Frame>>),
    /// The verified end of the log of an epoch.
    End(u32, Result<Option<u64>, ()>),
}

impl Room {
    pub(super) fn new(
        key: RoomKey,
        context: Arc<Context>,
        registry: Weak<Registry>,
        ends: Ends,
        cursor_maker: Maker,
        waiting_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let now = Instant::now();
        let (ring_bytes, keys) = (context.config.ring_bytes, context.config.keys);
        let reader = Reader::opening(&context, &key);
        Self {
            key,
            context,
            registry,
            ends,
            waiting_bytes,
            cursor_maker,
            done: mpsc::unbounded_channel(),
            log: None,
            standing: Standing::default(),
            memory: Memory::new(LogPosition::START, now, keys),
            epochs: BTreeMap::new(),
            reader,
            deciding: None,
            reason: "starting",
            anchored: false,
            ring: Ring::new(0, ring_bytes),
            retained: Retained::default(),
            outgoing: Outgoing::default(),
            asking: false,
            cursors: Cursors::default(),
            joins: Vec::new(),
            pulls: Pulls::default(),
            last_use: now,
            last_poke: now.checked_sub(RECALL).unwrap_or(now),
            counted: (0, 0),
            gone: false,
        }
    }

    /// Until nobody has used the room for a minute, or the room is gone.
    pub(super) async fn run(mut self) {
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            let tick = if self.somebody_waits() { BUSY_TICK } else { IDLE_TICK };
            tokio::select! {
                count = self.ends.commands.recv_many(&mut commands, COMMANDS_AT_ONCE) => {
                    if count == 0 {
                        break;
                    }
                    commands.drain(..).for_each(|command| self.on_command(command));
                }
                Some(control) = self.ends.control.recv() => self.on_control(control),
                Some(done) = self.done.1.recv() => self.on_done(done),
                event = self.reader.event(), if self.deciding.is_none() => self.on_reader(event),
                Ok(()) = self.ends.rows.changed() => {
                    let row = self.ends.rows.borrow_and_update().clone();
                    self.on_row(row);
                }
                () = tokio::time::sleep(tick) => {
                    self.cursors.sweep();
                    self.trim();
                }
            }
            self.work();
            if self.leaves() {
                break;
            }
        }
        self.end();
    }

    fn on_command(&mut self, command: Command) {
        self.last_use = Instant::now();
        match command {
            Command::Append(draft, started, reply) => {
                self.waiting_bytes.fetch_sub(draft_bytes(&draft), Ordering::Relaxed);
                self.on_append(*draft, started, reply);
            }
            Command::Join { since, outlet, reply } => self.joins.push(Join::new(since, outlet, reply)),
            Command::Pull(cursor, reply) => self.on_pull(cursor, reply),
            Command::Beyond(stored, reply) => {
                reply.send(self.beyond(stored)).ok();
            }
            Command::Touch => {}
        }
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::Dropped(cursor) => {
                self.last_use = Instant::now();
                self.cursors.remove(cursor);
                self.pulls.drop_cursor(cursor);
            }
            Control::Salvage(order) => {
                let held = self.log.as_ref().is_some_and(|log| log.id == order.log);
                let deliveries = if held { self.retained.following(order.off) } else { Vec::new() };
                tokio::spawn(salvage::hand_over(self.context.clone(), order, deliveries));
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Asked(keys, result) => self.on_asked(&keys, result),
            Done::Decided(number, result) => self.on_decided(number, result),
            Done::Published(batch, published) => self.on_published(batch, &published),
            Done::Fetched(ordinal, from, result) => self.on_fetched(ordinal, from, result),
            Done::Tail(ordinal, floor, frames) => self.on_tail(ordinal, floor, frames),
            Done::End(ordinal, end) => self.on_end(ordinal, end),
        }
    }

    /// What may be possible after anything happened.
    fn work(&mut self) {
        let now = Instant::now();
        if self.gone {
            self.refuse_all();
            return;
        }
        self.pump(now);
        self.advance_joins(now);
        self.outgoing.expire(now, if self.is_ready() { "timeout" } else { self.reason });
        if self.standing.closed.is_some() && now.duration_since(self.last_poke) >= CHANGING_POKE {
            self.poke();
        }
        self.count();
    }

    /// Whether events can be handed over and will be read back.
    pub(super) fn is_ready(&self) -> bool {
        self.reader.is_attached() && self.log.is_some() && self.standing.closed.is_none()
    }

    /// Runs something beside this task.
    pub(super) fn beside(&self, work: impl Future<Output = Done> + Send + 'static) {
        let done = self.done.0.clone();
        tokio::spawn(async move {
            done.send(work.await).ok();
        });
    }

    /// Asks for the room's row to be read now.
    pub(super) fn poke(&mut self) {
        self.last_poke = Instant::now();
        self.context.pokes.try_send(self.key.id).ok();
    }

    pub(super) fn tell_applied(&self) {
        let applied = self.log.as_ref().map(|log| (log.epoch.clone(), log.pos));
        self.ends.applied.send_replace(applied);
    }

    fn somebody_waits(&self) -> bool {
        !(self.outgoing.is_empty() && self.joins.is_empty()) || self.standing.closed.is_some()
    }

    fn is_used(&self) -> bool {
        self.somebody_waits() || !self.cursors.is_empty() || !self.pulls.is_empty()
    }

    fn leaves(&mut self) -> bool {
        if self.is_used() {
            self.last_use = Instant::now();
        }
        let lingered = self.last_use.elapsed() >= self.context.config.linger;
        if !(self.gone || lingered) {
            return false;
        }
        // A room that is gone may be asked again, by its name's next bearer or in vain: by a new task.
        self.registry.upgrade().is_none_or(|registry| registry.leave(self.key.id, &self.ends.commands, self.gone))
    }

    fn end(&mut self) {
        self.ends.commands.close();
        while let Ok(command) = self.ends.commands.try_recv() {
            self.on_command(command);
        }
        self.refuse_all();
        self.context.unstored.fetch_sub(self.counted.1, Ordering::Relaxed);
        self.context.meters.ring_bytes.decrement(gauge(self.counted.0));
        self.context.meters.unstored_bytes.decrement(gauge(self.counted.1));
    }

    fn refuse_all(&mut self) {
        let (append, subscribe) = if self.gone {
            (AppendError::NotFound, SubscribeError::NotFound)
        } else {
            (AppendError::Unavailable("stopping"), SubscribeError::Unavailable("stopping"))
        };
        self.outgoing.fail_waiting(&append);
        self.outgoing.fail_pending(&append);
        self.joins.drain(..).for_each(|join| join.fail(subscribe.clone()));
        self.pulls.fail_all(&subscribe);
        self.cursors.end();
    }

    /// Brings the sums of all rooms up to date.
    fn count(&mut self) {
        let (ring, unstored) = (self.ring.bytes(), self.retained.unstored());
        let meters = &self.context.meters;
        if ring != self.counted.0 {
            meters.ring_bytes.increment(gauge(ring) - gauge(self.counted.0));
        }
        if unstored != self.counted.1 {
            meters.unstored_bytes.increment(gauge(unstored) - gauge(self.counted.1));
            self.context.unstored.fetch_add(unstored, Ordering::Relaxed);
            self.context.unstored.fetch_sub(self.counted.1, Ordering::Relaxed);
        }
        self.counted = (ring, unstored);
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one machine's memory are far below 2^52")]
fn gauge(bytes: usize) -> f64 {
    bytes as f64
}
