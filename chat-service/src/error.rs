//! Why a verb says no, and as which of the protocol's words the edges say it.

use crate::log::{AppendError, SubscribeError};
use service::problem::{Code, Problem};
use std::time::Duration;

/// A verb's refusal. The edges turn it into a problem, an `err` or a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Not there, or not for this person to know.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Known, not allowed.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The room is closed to sending.
    #[error("the room is closed: it can be read, not written to")]
    Closed,
    /// Something else stands against it.
    #[error("{detail}")]
    Conflict {
        /// The finer word.
        reason: &'static str,
        /// For people.
        detail: &'static str,
    },
    /// The id was used with another body.
    #[error("this id was used in this room for something else")]
    IdempotencyConflict,
    /// What was asked is not right; the detail names the field.
    #[error("{detail}")]
    Invalid {
        /// The finer word.
        reason: Option<&'static str>,
        /// For people.
        detail: String,
    },
    /// More than is allowed.
    #[error("{0}")]
    TooLarge(String),
    /// Too often.
    #[error("too many messages at once: wait a little")]
    RateLimited(Duration),
    /// Not now; the outcome may be unknown.
    #[error("this is not possible at the moment ({0}): try again")]
    Unavailable(&'static str),
    /// Not built.
    #[error("{0} is not built yet")]
    Unimplemented(&'static str),
    /// A mistake of ours.
    #[error("this is a mistake of the server")]
    Internal,
}

impl Refused {
    /// `invalid`, without a finer word.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { reason: None, detail: detail.into() }
    }

    /// What a failed query means for whoever asked. PostgreSQL's own words go to the log.
    pub(crate) fn database(error: &sqlx::Error) -> Self {
        if is_outage(error) {
            tracing::debug!(%error, "PostgreSQL is out of reach");
            return Self::Unavailable("database");
        }
        tracing::error!(%error, "a query failed");
        Self::Internal
    }
}

/// Whether PostgreSQL is away rather than asked wrongly.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        // Classes: connection, resources, operator intervention (shutdown, cancelled by the time limit), lock not available.
        // A conflict of transactions; a table that the migration has not made yet.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            ["08", "53", "57", "55"].iter().any(|class| code.starts_with(class)) || code == "40001" || code == "42P01"
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::IdempotencyConflict,
            AppendError::Closed => Self::Closed,
            AppendError::NotFound => Self::NotFound("room"),
            AppendError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<SubscribeError> for Refused {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::NotFound => Self::NotFound("room"),
            SubscribeError::Behind => Self::Unavailable("behind"),
            SubscribeError::Unavailable(reason) => Self::Unavailable(reason),
            SubscribeError::Stopped => Self::Unavailable("log_changing"),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::NotFound(_) => Self::new(Code::NotFound, detail),
            Refused::Forbidden(_) => Self::new(Code::Forbidden, detail),
            Refused::Closed => Self::new(Code::Conflict, detail).reason("room_closed"),
            Refused::Conflict { reason, .. } => Self::new(Code::Conflict, detail).reason(reason),
            Refused::IdempotencyConflict => Self::new(Code::IdempotencyConflict, detail),
            Refused::Invalid { reason: Some(reason), .. } => Self::new(Code::Invalid, detail).reason(reason),
            Refused::Invalid { reason: None, .. } => Self::new(Code::Invalid, detail),
            Refused::TooLarge(_) => Self::new(Code::TooLarge, detail),
            Refused::RateLimited(wait) => Self::new(Code::RateLimited, detail).retry_after(wait),
            Refused::Unavailable(reason) => Self::new(Code::Unavailable, detail).reason(reason),
            Refused::Unimplemented(_) => Self::new(Code::Unimplemented, detail),
            Refused::Internal => Self::new(Code::Internal, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_word_and_reason() {
        let said = |refused: Refused| {
            let problem = Problem::from(refused);
            (problem.code.word(), problem.reason.map(|reason| reason.to_string()))
        };
        assert_eq!(said(AppendError::Closed.into()), ("conflict", Some("room_closed".into())));
        assert_eq!(said(AppendError::Conflict.into()), ("idempotency_conflict", None));
        assert_eq!(said(SubscribeError::Behind.into()), ("unavailable", Some("behind".into())));
        assert_eq!(said(Refused::database(&sqlx::Error::PoolTimedOut)), ("unavailable", Some("database".into())));
        assert_eq!(said(Refused::database(&sqlx::Error::RowNotFound)), ("internal", None));
        assert!(Code::from_word("unavailable").unwrap().temporary());
    }
}
