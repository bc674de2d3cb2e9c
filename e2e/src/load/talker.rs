//! Somebody who sends a given number of messages and does not rest until each is acknowledged: errors and lost connections are
//! answered by sending again under the same id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::address::Address;
use crate::checker::{Acknowledged, ordinal};
use crate::person::Person;
use crate::socket::{Frame, Socket};

/// So long without one `ok` and the test has failed, whatever is broken.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a temporary error asks for at least.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one waits for an answer before it looks whether something is due.
const TURN: Duration = Duration::from_millis(5);

/// What all talkers of a scene have achieved.
#[derive(Default)]
pub struct Progress {
    acknowledged: watch::Sender<usize>,
    disturbances: AtomicUsize,
    /// How many messages each may have begun; 0 is no limit.
    held_at: AtomicUsize,
}

impl Progress {
    /// Nobody begins more messages than so many of their own, until [`Self::release`].
    pub fn hold_at(&self, count: usize) {
        self.held_at.store(count, Ordering::Relaxed);
    }

    /// They go on.
    pub fn release(&self) {
        self.hold_at(0);
    }

    /// How many of `count` may be begun now.
    fn allows(&self, count: usize) -> usize {
        match self.held_at.load(Ordering::Relaxed) {
            0 => count,
            limit => count.min(limit),
        }
    }

    /// Waits until so many messages were acknowledged.
    pub async fn reaches(&self, count: usize) -> Result<()> {
        let mut changes = self.acknowledged.subscribe();
        let reached = tokio::time::timeout(PATIENCE, changes.wait_for(|now| *now >= count)).await;
        reached.with_context(|| format!("{count} were never acknowledged"))?.context("nobody sends any more")?;
        Ok(())
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Errors and lost connections so far.
    pub fn disturbances(&self) -> usize {
        self.disturbances.load(Ordering::Relaxed)
    }
}

/// Who sends what where.
pub struct Talker {
    /// The gateway.
    pub address: Address,
    /// Who.
    pub person: Person,
    /// Into which room.
    pub room: String,
    /// How many messages.
    pub count: usize,
    /// Sent and not yet answered.
    pub window: usize,
    /// New ones a second, at most.
    pub pace: u32,
    /// Begins each text.
    pub label: String,
}

/// A message that is not acknowledged yet.
struct Pending {
    id: String,
    run: Option<u64>,
    state: State,
}

enum State {
    /// On this connection.
    Sent,
    /// To be sent, again or for the first time, from then on.
    Resting(Instant),
}

/// Everything that changes while one talks.
struct Talk {
    pending: BTreeMap<usize, Pending>,
    by_command: BTreeMap<u64, usize>,
    next: usize,
    run: u64,
    acknowledged: BTreeMap<usize, Acknowledged>,
    start: Instant,
    last: Instant,
}

impl Talker {
    /// Sends everything; gives what was acknowledged in the order of sending.
    pub async fn run(self, progress: Arc<Progress>) -> Result<Vec<Acknowledged>> {
        let mut talk = Talk {
            pending: BTreeMap::new(),
            by_command: BTreeMap::new(),
            next: 0,
            run: 0,
            acknowledged: BTreeMap::new(),
            start: Instant::now(),
            last: Instant::now(),
        };
        while talk.acknowledged.len() < self.count {
            let silent = talk.last.elapsed();
            ensure!(silent < PATIENCE, "{}: no ok for {} s", self.label, silent.as_secs());
            if let Ok((mut socket, _)) = Socket::connect(&self.address.socket, &self.person.access_token).await {
                self.converse(&mut socket, &mut talk, &progress).await?;
            }
            if talk.acknowledged.len() < self.count {
                talk.disturb(&progress);
                talk.interrupt();
                let pause = rand::rng().random_range(50..500);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        Ok(talk.acknowledged.into_values().collect())
    }

    /// Until everything is acknowledged or the connection ends.
    async fn converse(&self, socket: &mut Socket, talk: &mut Talk, progress: &Progress) -> Result<()> {
        while talk.acknowledged.len() < self.count && talk.last.elapsed() < PATIENCE {
            if self.send_due(socket, talk, progress).await.is_err() {
                return Ok(());
            }
            match socket.poll(TURN).await {
                Ok(Some(Frame::Json(frame))) => self.take(&frame, talk, progress)?,
                Ok(None) => {}
                Ok(Some(Frame::Closed(_))) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// First what waits to be sent again, in order, then new ones as far as the window allows.
    async fn send_due(&self, socket: &mut Socket, talk: &mut Talk, progress: &Progress) -> Result<()> {
        let now = Instant::now();
        let due = |pending: &Pending| matches!(pending.state, State::Resting(until) if until <= now);
        let again: Vec<usize> =
            talk.pending.iter().filter(|(_, pending)| due(pending)).map(|(index, _)| *index).collect();
        for index in again {
            let Some(pending) = talk.pending.get(&index) else { continue };
            let command = socket.command("send", self.body(index, &pending.id)).await?;
            talk.sent(index, command);
        }
        let paced = talk.start.elapsed().as_millis() * u128::from(self.pace) / 1_000;
        let allowed = usize::try_from(paced).unwrap_or(usize::MAX).saturating_add(1).min(progress.allows(self.count));
        while talk.pending.len() < self.window && talk.next < allowed {
            let (index, id) = (talk.next, Uuid::now_v7().to_string());
            talk.next += 1;
            let run = Some(talk.run);
            let body = self.body(index, &id);
            talk.pending.insert(index, Pending { id, run, state: State::Resting(now) });
            let command = socket.command("send", body).await?;
            talk.sent(index, command);
        }
        Ok(())
    }

    fn body(&self, index: usize, id: &str) -> Value {
        json!({"room": self.room, "message": {"id": id, "text": format!("{} {index}", self.label)}})
    }

    fn take(&self, frame: &Value, talk: &mut Talk, progress: &Progress) -> Result<()> {
        let Some(index) = frame["id"].as_u64().and_then(|command| talk.by_command.remove(&command)) else {
            return Ok(());
        };
        if let Some(err) = frame.get("err") {
            ensure!(err["temporary"] == true, "{} {index}: {err}", self.label);
            let asked = err["retry_after_ms"].as_u64().map_or(PAUSE, Duration::from_millis);
            talk.disturb(progress);
            if let Some(pending) = talk.pending.get_mut(&index) {
                pending.state = State::Resting(Instant::now() + asked.max(PAUSE));
            }
            return Ok(());
        }
        let ok = &frame["ok"];
        let (Some(epoch), Some(pos)) = (ok["epoch"].as_str().and_then(ordinal), ok["pos"].as_u64()) else {
            bail!("{} {index}: a reply without a position: {frame}", self.label);
        };
        if let Some(pending) = talk.pending.remove(&index) {
            let author = self.person.id.clone();
            talk.acknowledged
                .insert(index, Acknowledged { author, id: pending.id, place: (epoch, pos), run: pending.run });
            talk.last = Instant::now();
            progress.acknowledged.send_modify(|count| *count += 1);
        }
        Ok(())
    }
}

impl Talk {
    fn sent(&mut self, index: usize, command: u64) {
        if let Some(pending) = self.pending.get_mut(&index) {
            pending.state = State::Sent;
            self.by_command.insert(command, index);
        }
    }

    /// Something went wrong: what is on its way has no promised order any more, what follows begins a new run.
    fn disturb(&mut self, progress: &Progress) {
        progress.disturbances.fetch_add(1, Ordering::Relaxed);
        self.run += 1;
        for pending in self.pending.values_mut() {
            pending.run = None;
        }
    }

    /// The connection is gone: everything on its way is sent again on the next.
    fn interrupt(&mut self) {
        self.by_command.clear();
        for pending in self.pending.values_mut() {
            if matches!(pending.state, State::Sent) {
                pending.state = State::Resting(Instant::now());
            }
        }
    }
}
