//! What the wire says: rooms, refusals and errors. The error words are chosen here and nowhere deeper.

use crate::rooms::close::AdministerError;
use crate::rooms::refusal::Refusal;
use crate::rooms::view::{LogView, RoomView};
use proto::chat::v1 as pb;
use service::problem::{Code, Problem};
use tokens::TokenError;
use tonic::Status;

/// The results of a set: what was refused when it was read keeps its place among the outcomes of the others.
pub(super) fn results<T>(
    names: Vec<String>,
    parsed: Vec<Result<T, Refusal>>,
    outcomes: Vec<Result<RoomView, Refusal>>,
) -> Vec<pb::PutRoomResult> {
    let mut outcomes = outcomes.into_iter();
    let result = |(name, parsed): (String, Result<T, Refusal>)| {
        result(name, parsed.and_then(|_| outcomes.next().unwrap_or(Err(Refusal::Busy))))
    };
    names.into_iter().zip(parsed).map(result).collect()
}

fn result(room: String, outcome: Result<RoomView, Refusal>) -> pb::PutRoomResult {
    match outcome {
        Ok(view) => pb::PutRoomResult { room, committed: Some(self::room(view)), error: None },
        Err(refusal) => {
            let problem = problem(&refusal);
            let error = pb::RoomError {
                code: problem.code.word().to_owned(),
                reason: problem.reason.unwrap_or_default().into_owned(),
                message: problem.detail,
            };
            pb::PutRoomResult { room, committed: None, error: Some(error) }
        }
    }
}

/// A room as administrators see it.
pub(super) fn room(view: RoomView) -> pb::Room {
    pb::Room {
        room: view.name.to_string(),
        id: view.id.to_string(),
        owner_uid: view.owner_uid,
        generation: view.generation,
        hash: view.hash,
        open: view.open,
        released: view.released,
        deletion_policy: view.deletion_policy,
        log: Some(log(view.newest)),
        current: view.current.map(log),
        members_pending: view.members_pending,
    }
}

fn log(view: LogView) -> pb::Log {
    pb::Log {
        stream: view.stream,
        epoch: view.epoch,
        routing_key: view.routing_key,
        class_name: view.class,
        replicas: u32::try_from(view.replicas).unwrap_or(0),
        segment_bytes: u64::try_from(view.segment_bytes).unwrap_or(0),
        state: view.state,
    }
}

/// The words of a refusal.
pub(super) fn problem(refusal: &Refusal) -> Problem {
    let (code, reason) = match refusal {
        Refusal::Invalid { field, .. } => {
            return Problem::new(Code::Invalid, refusal.to_string()).reason(field.clone());
        }
        Refusal::StaleGeneration { .. } => (Code::Conflict, "stale_generation"),
        Refusal::HashDiffers { .. } => (Code::Conflict, "hash_differs"),
        Refusal::NameConflict { .. } => (Code::Conflict, "name_conflict"),
        Refusal::ClassImmutable { .. } => (Code::Conflict, "class_immutable"),
        Refusal::NotFound => (Code::NotFound, "room"),
        Refusal::UnknownEpoch { .. } => (Code::NotFound, "epoch"),
        Refusal::StaleEpoch { .. } => (Code::Conflict, "stale_epoch"),
        Refusal::NotClosed => (Code::Conflict, "not_closed"),
        Refusal::NotReadToEnd => (Code::Conflict, "not_read_to_end"),
        Refusal::NotEmpty { .. } => (Code::Conflict, "not_empty"),
        Refusal::Busy => (Code::Unavailable, "busy"),
        Refusal::Failed => (Code::Internal, "database"),
    };
    Problem::new(code, refusal.to_string()).reason(reason)
}

/// A refusal of the whole call.
pub(super) fn refused(refusal: &Refusal) -> Status {
    problem(refusal).into()
}

/// A field of the call itself that cannot be.
pub(super) fn invalid(field: &str, cure: &str) -> Status {
    refused(&Refusal::Invalid { field: field.to_owned(), cure: cure.to_owned() })
}

/// Why a call on one room came to nothing.
pub(super) fn administer(error: AdministerError) -> Status {
    match error {
        AdministerError::Refused(refusal) => refused(&refusal),
        AdministerError::Database(error) => database(&error),
    }
}

/// Why a token does not do.
pub(super) fn token(error: TokenError) -> Status {
    let code = match error {
        TokenError::Expired => Code::TokenExpired,
        TokenError::Invalid(_) => Code::Unauthenticated,
        TokenError::Scope => Code::Forbidden,
        TokenError::Unavailable => Code::Unavailable,
    };
    Problem::new(code, error.to_string()).into()
}

/// PostgreSQL does not answer, or made no sense of what we said.
pub(super) fn database(error: &sqlx::Error) -> Status {
    if is_out_of_reach(error) {
        return Problem::new(Code::Unavailable, "PostgreSQL is out of reach, or too busy").reason("database").into();
    }
    internal(error)
}

fn is_out_of_reach(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    match error {
        // Connection exceptions, deadlocks, lack of resources, being shut down or a statement that took too long; a lock that did not
        // come, a transaction that was silent for too long.
        Database(told) => told.code().is_some_and(|code| {
            ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25P03"
        }),
        Io(_) | PoolClosed | PoolTimedOut | Protocol(_) | Tls(_) | WorkerCrashed => true,
        _ => false,
    }
}

/// A mistake of ours: told to the log, not to the caller.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, "a call of RoomAdmin failed");
    Problem::new(Code::Internal, "the call failed; the log of this process says why").into()
}

#[cfg(test)]
mod tests;
