//! Says that streams exist and are bound: a room's first log opens at once, an older one is closed by an event in it first, and one that
//! somebody deleted is waited for until gateways have handed over what they hold of it.

use crate::live::Hint;
use crate::rooms::effects::{self, Effects};
use crate::rooms::put::{Outcomes, concerns_rows, refusal_of, viewed};
use crate::rooms::refusal::Refusal;
use crate::rooms::view::RoomView;
use crate::state::State;
use crate::store::admin::{self, LockedRoom, Patience};
use crate::store::epochs::{self, LogState, Salvage};
use crate::store::outbox::{self, NewRow};
use contract::event::Body;
use contract::position::Epoch;
use contract::room::RoomName;
use sqlx::PgPool;
use std::collections::HashMap;
use uuid::Uuid;

/// Most people who are told of one call's new rooms; the others see them when they list their rooms.
const MOST_TOLD: usize = 10_000;

/// A log whose stream exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Whose.
    pub(crate) room: RoomName,
    /// Which.
    pub(crate) epoch: Epoch,
}

/// Key of the event that closes this log.
pub(crate) fn closing_key(room: Uuid, epoch: &str) -> Uuid {
    effects::key(room, &format!("closed/{epoch}"))
}

/// Confirms, tells everybody, and answers the rooms as they are then: a log that is still pending has to be confirmed again.
pub(crate) async fn confirm(state: &State, logs: &[Declared]) -> Result<Outcomes<RoomView>, sqlx::Error> {
    let (outcomes, effects) = commit(&state.pool, logs).await?;
    effects.announce(state);
    viewed(&state.pool, outcomes).await
}

/// Confirms in as few transactions as it takes.
pub(crate) async fn commit(pool: &PgPool, logs: &[Declared]) -> Result<(Outcomes<Uuid>, Effects), sqlx::Error> {
    let mut outcomes = Vec::with_capacity(logs.len());
    let mut effects = Effects::default();
    let mut parts = vec![(logs, Patience::Usual)];
    while let Some((part, patience)) = parts.pop() {
        match commit_once(pool, part, patience).await {
            Ok((done, told)) => {
                outcomes.extend(done);
                effects.merge(told);
            }
            Err(error) if part.len() > 1 && concerns_rows(&error) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first].map(|half| (half, Patience::Little)));
            }
            Err(error) if part.is_empty() => return Err(error),
            Err(error) => outcomes.push(Err(refusal_of(error)?)),
        }
    }
    Ok((outcomes, effects))
}

async fn commit_once(
    pool: &PgPool,
    logs: &[Declared],
    patience: Patience,
) -> Result<(Outcomes<Uuid>, Effects), sqlx::Error> {
    let mut transaction = admin::begin(pool, patience).await?;
    let names: Vec<RoomName> = logs.iter().map(|log| log.room.clone()).collect();
    let locked = admin::lock(&mut transaction, &names).await?;
    let ids: Vec<Uuid> = locked.iter().map(|room| room.id).collect();
    let mut states: HashMap<Uuid, Vec<LogState>> = HashMap::new();
    for log in epochs::lock(&mut transaction, &ids).await? {
        states.entry(log.room).or_default().push(log);
    }
    let rooms: HashMap<&RoomName, &LockedRoom> = locked.iter().map(|room| (&room.name, room)).collect();
    let mut outcomes = Vec::with_capacity(logs.len());
    let mut work = Work::default();
    for log in logs {
        let outcome = match rooms.get(&log.room) {
            None => Err(Refusal::NotFound),
            Some(room) => work.add(room, decide(states.get(&room.id).map_or(&[], Vec::as_slice), log.epoch.as_str())),
        };
        outcomes.push(outcome);
    }
    let effects = work.write(&mut transaction, &locked).await?;
    transaction.commit().await?;
    Ok((outcomes, effects))
}

/// What a confirmation comes to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is in use already.
    InUse,
    /// It takes over.
    Open { log: i64, sending: bool, first: bool, abandoned: Vec<i64> },
    /// The older log is still in use: an event in it closes it.
    Close { older: String, next: String },
    /// Gateways are handing over what they hold of the deleted log before it.
    Wait,
    /// No such log, or one that is over.
    Refuse(Refusal),
}

/// Decides for one room, whose logs are given in order.
fn decide(logs: &[LogState], epoch: &str) -> Step {
    let Some(at) = logs.iter().position(|log| log.epoch == epoch) else {
        return Step::Refuse(Refusal::UnknownEpoch { epoch: epoch.to_owned() });
    };
    let (older, log) = (&logs[..at], &logs[at]);
    match log.state.as_str() {
        "open" => return Step::InUse,
        "pending" => {}
        _ => {
            let newest = logs.last().map(|log| log.epoch.clone()).unwrap_or_default();
            return Step::Refuse(Refusal::StaleEpoch { epoch: epoch.to_owned(), newest });
        }
    }
    if let Some(open) = older.iter().find(|log| log.state == "open") {
        return Step::Close { older: open.epoch.clone(), next: epoch.to_owned() };
    }
    if older.iter().any(|log| log.salvage == Salvage::Running) {
        return Step::Wait;
    }
    // Logs in which nothing was stored say nothing of how the room stood.
    let sending = older.iter().rev().find(|log| log.stored).is_none_or(|log| log.sending);
    let abandoned = older.iter().filter(|log| log.salvage == Salvage::Abandoned).map(|log| log.id).collect();
    Step::Open { log: log.id, sending, first: older.is_empty(), abandoned }
}

/// What is to be written for a set of confirmations.
#[derive(Debug, Default)]
struct Work {
    open: Vec<(i64, bool)>,
    abandoned: Vec<i64>,
    closing: Vec<NewRow>,
    changed: Vec<Uuid>,
    new: Vec<Uuid>,
}

impl Work {
    fn add(&mut self, room: &LockedRoom, step: Step) -> Result<Uuid, Refusal> {
        match step {
            Step::InUse | Step::Wait => {}
            Step::Open { log, sending, first, abandoned } => {
                self.open.push((log, sending));
                self.abandoned.extend(abandoned);
                self.changed.push(room.id);
                if first {
                    self.new.push(room.id);
                }
            }
            Step::Close { older, next } => {
                let next_epoch = next.parse().map_err(|_| Refusal::UnknownEpoch { epoch: next })?;
                let key = closing_key(room.id, &older);
                self.closing.push(NewRow { room: room.id, sender: None, key, body: Body::Closed { next_epoch } });
            }
            Step::Refuse(refusal) => return Err(refusal),
        }
        Ok(room.id)
    }

    async fn write(self, connection: &mut sqlx::PgConnection, rooms: &[LockedRoom]) -> Result<Effects, sqlx::Error> {
        if !self.open.is_empty() {
            epochs::open(&mut *connection, &self.open).await?;
        }
        if !self.abandoned.is_empty() {
            metrics::counter!("parlor_logs_abandoned_total")
                .increment(u64::try_from(self.abandoned.len()).unwrap_or(0));
            tracing::error!(logs = ?self.abandoned, "a deleted log was not handed over in time: what is behind its stored position is lost");
            epochs::give_up(&mut *connection, &self.abandoned).await?;
        }
        outbox::put_all(&mut *connection, &self.closing).await?;
        let mut hints: Vec<Hint> = self.changed.iter().map(|room| Hint::RoomChanged { room: *room }).collect();
        if !self.new.is_empty() {
            let names: HashMap<Uuid, &RoomName> = rooms.iter().map(|room| (room.id, &room.name)).collect();
            let members = epochs::manifest_members(connection, &self.new).await?;
            hints.extend(
                members
                    .into_iter()
                    .take(MOST_TOLD)
                    .filter_map(|(room, user)| Some(Hint::RoomsChanged { user, room: (*names.get(&room)?).clone() })),
            );
        }
        Ok(Effects { events: !self.closing.is_empty(), hints })
    }
}

#[cfg(test)]
mod tests;
