//! The reader of a room: it opens the row, attaches to the stream, reads, and attaches again, until the room is left.

use super::attach::{self, Attached, Outcome};
use super::opening::{self, Opened};
use super::registry::{Context, Row};
use super::room::Room;
use super::{RoomKey, meters, replace};
use crate::broker::ConsumeError;
use crate::log::delivery::Delivery;
use futures::future::BoxFuture;
use service::retry::Backoff;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So long messages are applied before the task looks at anything else.
const AT_ONCE: Duration = Duration::from_millis(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where a reader is.
pub(super) struct Reader {
    state: State,
    backoff: Backoff,
    /// The row is to be read before the next attach.
    reopen: bool,
    /// A loss was found, and PostgreSQL does not have it either: it is accepted.
    accept_loss: bool,
}

enum State {
    /// Trying again in a while.
    Pausing(tokio::time::Instant),
    Opening(BoxFuture<'static, Result<Opened, sqlx::Error>>),
    Attaching(BoxFuture<'static, Box<Outcome>>),
    Attached(Box<Attached>),
}

/// What a reader reports.
pub(super) enum Happened {
    /// The pause is over.
    Paused,
    /// The row was read.
    Opened(Result<Opened, sqlx::Error>),
    /// An attach ended.
    Attach(Box<Outcome>),
    /// A message came, or the consumer ended.
    Delivered(Result<Delivery, ConsumeError>),
}

impl Reader {
    pub(super) fn opening(context: &Arc<Context>, room: &RoomKey) -> Self {
        Self {
            state: State::Opening(Box::pin(opening::open(context.clone(), room.clone()))),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            reopen: false,
            accept_loss: false,
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        matches!(self.state, State::Attached(_))
    }

    fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// The next thing that happens; cancel-safe. A state that has ended is replaced before this is called again.
    pub(super) async fn event(&mut self) -> Happened {
        match &mut self.state {
            State::Pausing(until) => {
                tokio::time::sleep_until(*until).await;
                Happened::Paused
            }
            State::Opening(opening) => Happened::Opened(opening.await),
            State::Attaching(attaching) => Happened::Attach(attaching.await),
            State::Attached(attached) => match attached.first.take() {
                Some(first) => Happened::Delivered(Ok(first)),
                None => Happened::Delivered(attached.consumer.next().await),
            },
        }
    }

    fn pause(&mut self) {
        self.state = State::Pausing(tokio::time::Instant::now() + self.backoff.next());
    }

    fn try_next(&mut self) -> Option<Result<Delivery, ConsumeError>> {
        match &mut self.state {
            State::Attached(attached) => attached.consumer.try_next(),
            _ => None,
        }
    }
}

impl Room {
    pub(super) fn on_reader(&mut self, happened: Happened) {
        match happened {
            Happened::Paused if self.reader.reopen || self.log.is_none() => self.open(),
            Happened::Paused => self.attach(),
            Happened::Opened(opened) => self.on_opened(opened),
            Happened::Attach(outcome) => self.on_attach(*outcome),
            Happened::Delivered(first) => self.on_delivered(first),
        }
    }

    /// Reads the row (again), and the keys of the last while.
    pub(super) fn open(&mut self) {
        self.reader.state = State::Opening(Box::pin(opening::open(self.context.clone(), self.key.clone())));
    }

    /// Attaches at the last message that is known.
    pub(super) fn attach(&mut self) {
        let Some(log) = &self.log else { return self.open() };
        let (broker, stream, anchor) = (self.context.broker.clone(), log.stream.clone(), log.last);
        let prefetch = self.context.config.prefetch;
        self.reader.reopen = false;
        self.reader.state =
            State::Attaching(Box::pin(
                async move { Box::new(attach::attach(&broker, &stream, anchor, prefetch).await) },
            ));
    }

    /// Not now: again in a while.
    pub(super) fn retreat(&mut self, reason: &'static str) {
        self.reason = reason;
        self.reader.pause();
    }

    fn on_opened(&mut self, opened: Result<Opened, sqlx::Error>) {
        self.reader.reopen = true;
        match opened {
            Ok(Opened::Missing) => self.gone = true,
            Ok(Opened::NoLog) => self.retreat("log_changing"),
            Ok(Opened::Log(row, recent)) => match &self.log {
                Some(log) if row.epoch.ordinal() < log.epoch.ordinal() => self.attach(),
                Some(log) if row.epoch == *log.epoch && row.off <= log.last.off => {
                    // PostgreSQL does not have what the stream lacks.
                    self.reader.accept_loss = true;
                    self.attach();
                }
                _ => self.begin(&row, Some(recent)),
            },
            Err(error) => {
                tracing::debug!(room = %self.key.name, %error, "failed to read the row of a room");
                self.retreat("database");
            }
        }
    }

    fn on_attach(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Anchored(attached) => self.attached(attached),
            Outcome::Lost(attached, until) if self.reader.accept_loss => {
                self.accept_loss(until);
                self.attached(attached);
            }
            Outcome::Lost(..) => {
                meters::attach_failed("lost");
                self.open();
            }
            Outcome::Gone => {
                meters::attach_failed("gone");
                self.poke();
                self.retreat("log_changing");
            }
            Outcome::Changed(evidence) => {
                meters::attach_failed("changed");
                if let Some(log) = &self.log {
                    tracing::error!(room = %self.key.name, stream = log.stream, ?evidence, "the stream is not the log that was read before");
                    let asking = replace::ask(self.context.clone(), self.key.clone(), log.epoch.clone(), evidence);
                    tokio::spawn(asking);
                }
                self.retreat("log_changing");
            }
            Outcome::Failed(error) => {
                meters::attach_failed("failed");
                tracing::debug!(room = %self.key.name, error, "failed to attach to a log");
                self.retreat("broker");
            }
        }
    }

    fn attached(&mut self, attached: Attached) {
        self.reader.state = State::Attached(Box::new(attached));
        self.reader.backoff.reset();
        self.reader.accept_loss = false;
        self.anchored = true;
    }

    fn on_delivered(&mut self, first: Result<Delivery, ConsumeError>) {
        let began = Instant::now();
        let mut next = Some(first);
        while let Some(delivered) = next {
            match delivered {
                Ok(delivery) => self.on_delivery(delivery),
                Err(error) => return self.on_consumer_end(&error),
            }
            if self.deciding.is_some() || began.elapsed() > AT_ONCE {
                return;
            }
            next = self.reader.try_next();
        }
    }

    fn on_consumer_end(&mut self, error: &ConsumeError) {
        tracing::debug!(room = %self.key.name, %error, "a log's consumer ended");
        match error {
            ConsumeError::Cancelled | ConsumeError::NotFound => {
                self.poke();
                self.retreat("log_changing");
            }
            ConsumeError::Unavailable | ConsumeError::Ended(_) => self.retreat("broker"),
        }
    }

    /// PostgreSQL says something new of the room.
    pub(super) fn on_row(&mut self, row: Row) {
        let row = match row {
            Row::Unknown => return,
            Row::Missing => {
                self.gone = true;
                return;
            }
            Row::Log(None) => {
                if !self.is_ready() {
                    self.reason = "log_changing";
                }
                return;
            }
            Row::Log(Some(row)) => row,
        };
        let ordinal = row.epoch.ordinal();
        match &mut self.log {
            Some(log) if row.epoch == *log.epoch => {
                log.stored_off = log.stored_off.max(row.off);
                log.stored_pos = log.stored_pos.max(row.pos);
                log.kept = row.kept;
                self.retained.stored(row.off);
                self.trim();
            }
            Some(log) if ordinal <= log.epoch.ordinal() => tracing::debug!("an older row of a log came late"),
            // Read to its very end: nothing lies between the logs.
            Some(_) if self.standing.closed.as_ref().is_some_and(|next| next.ordinal() == ordinal) => {
                self.begin(&row, None);
            }
            _ if !self.reader.is_opening() => self.open(),
            // What is being read is as new.
            _ => {}
        }
    }

    /// Forgets what need not be remembered any longer; not while a copy is looked up, whose answer builds on it.
    pub(super) fn trim(&mut self) {
        if let Some(log) = self.log.as_ref().filter(|_| self.deciding.is_none()) {
            let stored = contract::position::LogPosition::new(log.epoch.ordinal(), log.stored_pos);
            self.memory.trim(stored, Instant::now());
        }
    }
}
