//! Commits what manifests say of rooms: a set at once, one result each, and a bad one never stops the others.

use crate::live::Hint;
use crate::rooms::effects::{self, Effects};
use crate::rooms::fence::{self, Decision};
use crate::rooms::refusal::Refusal;
use crate::rooms::replace::new_log;
use crate::rooms::spec::Put;
use crate::rooms::view::{self, RoomView};
use crate::rooms::{names, names::Named};
use crate::state::State;
use crate::store::admin::{self, LockedRoom, Patience, RoomRow};
use crate::store::{epochs, outbox};
use contract::event::Visibility;
use contract::room::RoomName;
use sqlx::PgPool;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What became of the put of each room, in order.
pub(crate) type Outcomes<T> = Vec<Result<T, Refusal>>;

/// Commits, tells everybody, binds names that somebody holds, and answers the rooms as they are then.
pub(crate) async fn put(state: &State, puts: &[Put]) -> Result<Outcomes<RoomView>, sqlx::Error> {
    let committed = commit(&state.pool, puts).await?;
    committed.effects.announce(state);
    names::resolve(state, &committed.renamed).await;
    viewed(&state.pool, committed.outcomes).await
}

/// The rooms of these outcomes as they are now.
pub(crate) async fn viewed(pool: &PgPool, outcomes: Outcomes<Uuid>) -> Result<Outcomes<RoomView>, sqlx::Error> {
    let ids: Vec<Uuid> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    let views = view::many(pool, &ids).await?;
    let views: HashMap<Uuid, RoomView> = views.into_iter().map(|view| (view.id, view)).collect();
    // A room that is gone again was deleted meanwhile.
    let view = |id: Uuid| views.get(&id).cloned().ok_or(Refusal::Busy);
    Ok(outcomes.into_iter().map(|outcome| outcome.and_then(view)).collect())
}

/// What a set of puts came to.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// The room's id, or why not; in the order of the puts.
    pub(crate) outcomes: Outcomes<Uuid>,
    /// To be announced.
    pub(crate) effects: Effects,
    /// Rooms whose manifest was written: their names may be pending.
    pub(crate) renamed: Vec<Uuid>,
}

/// Commits the set in as few transactions as it takes.
pub(crate) async fn commit(pool: &PgPool, puts: &[Put]) -> Result<Committed, sqlx::Error> {
    let mut outcomes: Vec<Option<Result<Uuid, Refusal>>> = vec![None; puts.len()];
    let mut committed = Committed::default();
    let mut parts: Vec<_> = rounds(puts).into_iter().rev().map(|part| (part, Patience::Usual)).collect();
    while let Some((part, patience)) = parts.pop() {
        let set: Vec<&Put> = part.iter().map(|&index| &puts[index]).collect();
        match commit_once(pool, &set, patience).await {
            Ok(done) => {
                for (index, outcome) in part.iter().zip(done.outcomes) {
                    outcomes[*index] = Some(outcome);
                }
                committed.effects.merge(done.effects);
                committed.renamed.extend(done.renamed);
            }
            Err(error) if part.len() > 1 && concerns_rows(&error) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first].map(|half| (half.to_vec(), Patience::Little)));
            }
            Err(error) => outcomes[part[0]] = Some(Err(refusal_of(error)?)),
        }
    }
    committed.outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Refusal::Busy))).collect();
    Ok(committed)
}

/// Indexes of the puts, such that no round names a room twice; the second put of a room sees what became of the first.
fn rounds(puts: &[Put]) -> Vec<Vec<usize>> {
    let mut seen: HashMap<&RoomName, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (index, put) in puts.iter().enumerate() {
        let round = seen.entry(&put.room).or_default();
        if rounds.len() == *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(index);
        *round += 1;
    }
    rounds
}

/// Whether the error speaks of some row of a set and not of the database: a part of the set may do.
pub(crate) fn concerns_rows(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // Data, constraints, deadlocks; a lock that did not come.
    error.code().is_some_and(|code| ["22", "23", "40"].iter().any(|class| code.starts_with(class)) || code == "55P03")
}

/// What such an error of a single room means; another error is handed back.
pub(crate) fn refusal_of(error: sqlx::Error) -> Result<Refusal, sqlx::Error> {
    match &error {
        sqlx::Error::Database(told) if concerns_rows(&error) => {
            let busy = told.code().is_some_and(|code| code.starts_with("40") || code == "55P03");
            if busy {
                return Ok(Refusal::Busy);
            }
            tracing::error!(%error, "PostgreSQL refused a room");
            Ok(Refusal::Failed)
        }
        _ => Err(error),
    }
}

/// One transaction for rooms that are all different.
async fn commit_once(pool: &PgPool, set: &[&Put], patience: Patience) -> Result<Committed, sqlx::Error> {
    let mut transaction = admin::begin(pool, patience).await?;
    let mut sorted = set.to_vec();
    // Everybody inserts in one order: two sets that share new rooms wait for each other and never both.
    sorted.sort_by(|one, other| one.room.cmp(&other.room));
    let rows: Vec<RoomRow<'_>> =
        sorted.iter().map(|put| RoomRow::new(Uuid::now_v7(), put.claim.generation.max(1), put)).collect();
    let created: HashSet<Uuid> = admin::insert(&mut transaction, &rows).await?.into_iter().collect();
    let names: Vec<RoomName> = sorted.iter().map(|put| put.room.clone()).collect();
    let locked = admin::lock(&mut transaction, &names).await?;
    let rooms: HashMap<&RoomName, &LockedRoom> = locked.iter().map(|room| (&room.name, room)).collect();

    let plan = Plan::decide(set, &rooms, &created);
    let logs: Vec<_> =
        plan.created.iter().map(|put| new_log(rooms[&put.room].id, &put.room, &put.spec.class, 1)).collect();
    epochs::insert(&mut transaction, &logs).await?;
    admin::update(&mut transaction, &plan.updates).await?;
    let mut effects = Effects::default();
    outbox::put_all(&mut transaction, &plan.events).await?;
    effects.events |= !plan.events.is_empty();
    effects.hints.extend(plan.updates.iter().map(|row| Hint::RoomChanged { room: row.id() }));
    effects.merge(names::declare(&mut transaction, &plan.manifests).await?);
    let renamed = plan.manifests.iter().map(|manifest| manifest.room).collect();
    let outcomes = plan.outcomes;
    transaction.commit().await?;
    Ok(Committed { outcomes, effects, renamed })
}

/// What is to be written for a set whose rows are locked.
#[derive(Default)]
struct Plan<'a> {
    outcomes: Outcomes<Uuid>,
    created: Vec<&'a Put>,
    updates: Vec<RoomRow<'a>>,
    events: Vec<outbox::NewRow>,
    manifests: Vec<Named<'a>>,
}

impl<'a> Plan<'a> {
    fn decide(set: &[&'a Put], rooms: &HashMap<&RoomName, &LockedRoom>, created: &HashSet<Uuid>) -> Self {
        let mut plan = Self::default();
        for put in set {
            let outcome = match rooms.get(&put.room) {
                // Deleted by somebody between our look and our lock.
                None => Err(Refusal::Busy),
                Some(room) if created.contains(&room.id) => {
                    plan.created.push(put);
                    plan.name(put, room, room.held.generation, None);
                    Ok(room.id)
                }
                Some(room) => plan.known(put, room),
            };
            plan.outcomes.push(outcome);
        }
        plan
    }

    fn known(&mut self, put: &'a Put, room: &LockedRoom) -> Result<Uuid, Refusal> {
        match fence::decide(&room.held, &put.claim, &put.spec.class) {
            Decision::Unchanged => {}
            Decision::Reopen => self.write(put, room, room.held.generation),
            Decision::Commit { generation } => {
                self.write(put, room, generation);
                self.name(put, room, generation, room.closing_key);
            }
            Decision::Refuse(refusal) => return Err(refusal),
        }
        Ok(room.id)
    }

    /// The row, and the event where people see a difference.
    fn write(&mut self, put: &'a Put, room: &LockedRoom, generation: i64) {
        self.updates.push(RoomRow::new(room.id, generation, put));
        let now = LockedRoom {
            display_name: put.spec.display_name.clone(),
            topic: put.spec.topic.clone(),
            visibility: put.spec.visibility,
            ..room.clone()
        };
        if shown(&now, true) != shown(room, room.held.open) {
            let cause = effects::cause(&put.claim.owner_uid, generation, &put.claim.hash, room.closing_key);
            let key = effects::key(room.id, &format!("room/{cause}"));
            self.events.push(effects::room_event(&now, key, true));
        }
    }

    fn name(&mut self, put: &'a Put, room: &LockedRoom, generation: i64, closing: Option<Uuid>) {
        let cause = effects::cause(&put.claim.owner_uid, generation, &put.claim.hash, closing);
        self.manifests.push(Named { room: room.id, cause, members: &put.spec.members });
    }
}

fn shown(room: &LockedRoom, open: bool) -> (&str, &str, Visibility, bool) {
    (&room.display_name, &room.topic, room.visibility, open)
}

#[cfg(test)]
mod tests;
