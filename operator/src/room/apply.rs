//! Step 4: rows first, then the broker, then the confirmation that what the rows name is there.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::chat::v1::{LogName, PutRoom, PutRoomResult, Room, RoomError};

use super::build::{self, Action, Plan};
use super::dereference::Found;
use super::gone;
use super::validate::{Refusal, ValidatedRoom};
use crate::broker::declare;
use crate::broker::diff::{self, Conflict, RoomDifference, WantedQueue};
use crate::broker::topology::{Binding, Queue};
use crate::broker::{Broker, BrokerError};
use crate::context::{Closed, Context};
use crate::report::Reason;
use crate::rooms_service::{ROOMS_MOST, ServiceError};

/// A call takes so many bytes of rooms at most: servers refuse more than 4 MiB.
const PUT_BYTES_MOST: usize = 1 << 20;

/// What was done with a room.
#[derive(Debug)]
pub(super) struct Applied {
    /// The room, with the row that it has now.
    pub(super) found: Found,
    /// What it is to be, if it is declared and right.
    pub(super) valid: Option<Box<ValidatedRoom>>,
    /// How it went.
    pub(super) result: Result<Done, Failure>,
}

/// What stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything is there, and the row says so.
    Settled,
    /// Everything is there, but the log before this one is not closed yet.
    Opening,
    /// Nothing was done, as the manifest says.
    Suspended,
}

/// Why a room is not as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Only a change cures it.
    Refused(Refusal),
    /// The servers have to come back first.
    Closed(Closed),
    /// Something was not as it was last seen: look again.
    Changed(String),
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match &error {
            BrokerError::NotFound => Self::Changed("something went away in RabbitMQ meanwhile".to_owned()),
            error if error.concerns_all() => Self::Closed(Closed::from(error)),
            BrokerError::Conflict(_) => Self::Refused(Refusal::new(Reason::ArgumentsConflict, error.to_string())),
            _ => Self::Refused(Refusal::new(Reason::BrokerRefused, error.to_string())),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match &error {
            ServiceError::Unreachable(_) => Self::Closed(Closed::from(&error)),
            ServiceError::Refused { word, reason, message } => refused(word, reason, message),
        }
    }
}

/// Applies all plans.
pub(super) async fn apply(context: &Context, plans: Vec<Plan>) -> Vec<Applied> {
    let mut applied = Vec::with_capacity(plans.len());
    let (mut settle, mut puts) = (Vec::new(), Vec::new());
    for Plan { found, action } in plans {
        match action {
            Action::Refuse(refusal) => applied.push(failed(found, None, Failure::Refused(refusal))),
            Action::Wait(closed) => applied.push(failed(found, None, Failure::Closed(closed))),
            Action::Suspend => applied.push(Applied { found, valid: None, result: Ok(Done::Suspended) }),
            Action::Keep(valid) => settle.push((found, valid)),
            Action::Put(valid, put) => puts.push((found, valid, *put)),
        }
    }
    for chunk in chunks(puts) {
        put(context, chunk, &mut settle, &mut applied).await;
    }
    let mut rooms: FuturesUnordered<_> =
        settle.into_iter().map(|(found, valid)| broker(context, found, valid)).collect();
    let mut confirm = Vec::new();
    while let Some(room) = rooms.next().await {
        match room.result {
            Ok(Done::Opening) => confirm.push(room),
            _ => applied.push(room),
        }
    }
    while !confirm.is_empty() {
        let rest = confirm.split_off(confirm.len().min(ROOMS_MOST));
        applied.extend(confirm_logs(context, std::mem::replace(&mut confirm, rest)).await);
    }
    applied
}

type ToSettle = (Found, Option<Box<ValidatedRoom>>);
type ToPut = (Found, Box<ValidatedRoom>, PutRoom);

fn failed(found: Found, valid: Option<Box<ValidatedRoom>>, failure: Failure) -> Applied {
    Applied { found, valid, result: Err(failure) }
}

/// Cuts what is to be put into calls.
fn chunks(puts: Vec<ToPut>) -> Vec<Vec<ToPut>> {
    let (mut chunks, mut bytes) = (Vec::<Vec<ToPut>>::new(), 0);
    for room in puts {
        let size = prost::Message::encoded_len(&room.2);
        if let Some(chunk) =
            chunks.last_mut().filter(|chunk| chunk.len() < ROOMS_MOST && bytes + size <= PUT_BYTES_MOST)
        {
            chunk.push(room);
        } else {
            chunks.push(vec![room]);
            bytes = 0;
        }
        bytes += size;
    }
    chunks
}

/// Rows first: what they name is then made in the broker.
async fn put(context: &Context, rooms: Vec<ToPut>, settle: &mut Vec<ToSettle>, applied: &mut Vec<Applied>) {
    let results = context.service.put(rooms.iter().map(|(_, _, put)| put.clone()).collect()).await;
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            let failure = Failure::from(error);
            let failures = rooms.into_iter().map(|(found, valid, _)| failed(found, Some(valid), failure.clone()));
            return applied.extend(failures);
        }
    };
    for ((mut found, valid, _), result) in rooms.into_iter().zip(results) {
        match row(context, result) {
            Ok(row) => {
                found.row = Some(row);
                settle.push((found, Some(valid)));
            }
            Err(failure) => applied.push(failed(found, Some(valid), failure)),
        }
    }
}

/// The row of an answer, which the world takes too.
fn row(context: &Context, result: PutRoomResult) -> Result<Room, Failure> {
    match (result.committed, result.error) {
        (Some(row), None) => {
            context.world().take_row(row.clone());
            Ok(row)
        }
        (_, Some(RoomError { code, reason, message })) => Err(refused(&code, &reason, &message)),
        (None, None) => Err(Failure::Changed("chat-service answered nothing about the room".to_owned())),
    }
}

/// A refusal of chat-service about one room.
fn refused(word: &str, reason: &str, message: &str) -> Failure {
    match (word, reason) {
        ("conflict", "name_conflict") => Failure::Refused(Refusal::new(Reason::NameConflict, message)),
        ("conflict", "class_immutable") => Failure::Refused(Refusal::new(Reason::ImmutableField, message)),
        // The row is not as it was last read, or somebody works on it.
        ("conflict" | "not_found", _) => Failure::Changed(message.to_owned()),
        ("unavailable" | "internal", _) => {
            Failure::Closed(Closed::new(Reason::RoomsServiceUnreachable, message.to_owned()))
        }
        _ => Failure::Refused(Refusal::new(Reason::RoomsServiceRefused, message)),
    }
}

/// Makes in the broker what one room lacks.
async fn broker(context: &Context, mut found: Found, valid: Option<Box<ValidatedRoom>>) -> Applied {
    let Some(mut row) = found.row.take() else {
        return failed(found, valid, Failure::Changed("the room has no row".to_owned()));
    };
    let result = settle(context, &found, valid.as_deref(), &mut row).await;
    found.row = Some(row);
    Applied { found, valid, result }
}

async fn settle(
    context: &Context,
    found: &Found,
    valid: Option<&ValidatedRoom>,
    row: &mut Room,
) -> Result<Done, Failure> {
    let room = &found.subject.room;
    if let Some(epoch) = valid.and_then(|valid| valid.replace_log.as_ref())
        && row.log.as_ref().is_some_and(|log| log.epoch == epoch.as_str())
    {
        *row = gone::replace(context, row, epoch.as_str(), false).await?;
    }
    let mut difference = differing(context, room, valid, row);
    if !difference.lost.is_empty() {
        gone::settle(context, row, &difference.lost).await?;
        difference = differing(context, room, valid, row);
    }
    // A log that another one is about to follow holds nothing up: neither by being gone nor by its arguments.
    let pending = row.log.as_ref().filter(|log| log.state == "pending").map(|log| log.stream.clone());
    let holds_up = |name: &str| pending.as_ref().is_none_or(|stream| stream == name || !declare::is_log(name));
    if difference.lost.iter().any(|stream| holds_up(stream)) {
        return Err(Failure::Changed("a log went away meanwhile".to_owned()));
    }
    change(context, &difference).await?;
    if let Some(conflict) = difference.conflicts.iter().find(|conflict| holds_up(&conflict.name)) {
        return Err(Failure::Refused(Refusal::new(Reason::ArgumentsConflict, cure(conflict, row))));
    }
    Ok(if pending.is_some() { Done::Opening } else { Done::Settled })
}

fn differing(
    context: &Context,
    room: &contract::room::RoomName,
    valid: Option<&ValidatedRoom>,
    row: &Room,
) -> RoomDifference {
    let wanted = build::topology(room, valid, row);
    let mut world = context.world();
    // A room that came back needs what was still to go with it.
    for WantedQueue { queue, .. } in &wanted.queues {
        world.removals.remove(&queue.name);
    }
    diff::room(&wanted, &world.picture)
}

/// What is done about a conflict, since nothing is deleted to be made again.
fn cure(conflict: &Conflict, row: &Room) -> String {
    match row.log.as_ref().filter(|log| conflict.name == log.stream) {
        Some(log) => format!(
            "{conflict}; the annotation {}: {} opens a new log, the old one stays readable",
            super::validate::REPLACE_LOG,
            log.epoch
        ),
        None => format!(
            "{conflict}; put the old values back and add a subscription under a new name, or delete the queue by hand"
        ),
    }
}

/// Queues, then what is bound to them.
async fn change(context: &Context, difference: &RoomDifference) -> Result<(), Failure> {
    for queue in &difference.declare {
        make(context, queue).await?;
    }
    for binding in &difference.bind {
        bind(context, binding).await?;
    }
    for binding in &difference.unbind {
        context.broker.unbind(binding).await?;
        context.world().picture.bindings.remove(binding);
    }
    Ok(())
}

async fn make(context: &Context, queue: &Queue) -> Result<(), Failure> {
    let broker: &Broker = &context.broker;
    match broker.declare_queue(queue).await {
        Ok(()) => {
            context.world().picture.queues.insert(queue.name.clone(), queue.clone());
            Ok(())
        }
        Err(BrokerError::Conflict(text)) => {
            // Somebody made it meanwhile: both values are told from what is there.
            let there = broker.queue(&queue.name).await?;
            let conflict = there.as_ref().and_then(|there| diff::queue_conflict(queue, there));
            if let Some(there) = there {
                context.world().picture.queues.insert(queue.name.clone(), there);
            }
            let message = conflict.map_or(text, |conflict| conflict.to_string());
            Err(Failure::Refused(Refusal::new(Reason::ArgumentsConflict, message)))
        }
        Err(error) => Err(error.into()),
    }
}

async fn bind(context: &Context, binding: &Binding) -> Result<(), Failure> {
    context.broker.bind(binding).await?;
    context.world().picture.bindings.insert(binding.clone());
    Ok(())
}

/// Says that these rooms' pending logs are there.
async fn confirm_logs(context: &Context, rooms: Vec<Applied>) -> Vec<Applied> {
    let name = |room: &Applied| LogName {
        room: room.found.subject.room.to_string(),
        epoch: room
            .found
            .row
            .as_ref()
            .and_then(|row| row.log.as_ref())
            .map(|log| log.epoch.clone())
            .unwrap_or_default(),
    };
    let logs = rooms.iter().map(name).collect();
    let results = match context.service.confirm(logs).await {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(Failure::from(error)); rooms.len()],
    };
    rooms
        .into_iter()
        .zip(results)
        .map(|(mut room, result)| {
            match result.and_then(|result| row(context, result)) {
                Ok(row) => {
                    let open = row.log.as_ref().is_some_and(|log| log.state == "open");
                    room.result = Ok(if open { Done::Settled } else { Done::Opening });
                    room.found.row = Some(row);
                }
                Err(failure) => room.result = Err(failure),
            }
            room
        })
        .collect()
}
