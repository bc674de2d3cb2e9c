//! Why an administrative call on a room was refused. What it is called on the wire is decided at the edge.

/// A refusal; its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// What was said of the room cannot be.
    #[error("{field}: {cure}")]
    Invalid {
        /// Which part of the request.
        field: String,
        /// What to write instead.
        cure: String,
    },
    /// An older generation of the same owner.
    #[error("generation {asked} is older than {held}, which was committed before: read the manifest again")]
    StaleGeneration {
        /// In the request.
        asked: i64,
        /// In the row.
        held: i64,
    },
    /// The same generation with another spec.
    #[error("generation {generation} was committed with another spec: read the manifest again")]
    HashDiffers {
        /// Of both.
        generation: i64,
    },
    /// Another owner has the room.
    #[error("the room is held by {holder:?}: remove it there, or choose another name")]
    NameConflict {
        /// Their uid.
        holder: String,
    },
    /// A room keeps its class.
    #[error(
        "the room is of class {held:?} and a class does not change to {asked:?}: put it back, or make another room"
    )]
    ClassImmutable {
        /// In the row.
        held: String,
        /// In the request.
        asked: String,
    },
    /// No such room.
    #[error("there is no such room")]
    NotFound,
    /// No such log.
    #[error("the room has no log {epoch}: list the rooms again")]
    UnknownEpoch {
        /// As asked.
        epoch: String,
    },
    /// A log that has been replaced.
    #[error("the log {epoch} was replaced, the newest is {newest}: list the rooms again")]
    StaleEpoch {
        /// As asked.
        epoch: String,
        /// In the row.
        newest: String,
    },
    /// To be deleted it must be closed first.
    #[error("the room is open, or its owner has not let go of it: close it first")]
    NotClosed,
    /// History has not read the log to its end.
    #[error("history has not yet read the room's log to its end: ask again")]
    NotReadToEnd,
    /// Messages remain.
    #[error("{messages} messages remain: delete them, or give the room the policy Delete")]
    NotEmpty {
        /// Undeleted ones.
        messages: i64,
    },
    /// Somebody else was working on the same room.
    #[error("the room is being changed by somebody else: ask again")]
    Busy,
    /// PostgreSQL refused what it was told of this room.
    #[error("the room could not be stored")]
    Failed,
}
