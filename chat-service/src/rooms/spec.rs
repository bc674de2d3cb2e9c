//! What a manifest says of a room, after validation: kept whole in the room's row, so that what has no column of its own is there too.

use contract::event::{Role, Visibility};
use contract::room::RoomName;
use serde::{Deserialize, Serialize};

/// A room as its owner wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    /// Its address.
    pub(crate) room: RoomName,
    /// Who puts it, and how new what they say is.
    pub(crate) claim: Claim,
    /// What it is to be.
    pub(crate) spec: Spec,
}

/// Who claims a room: fences an operator that is behind, and a second owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Kubernetes object uid, or the file's path.
    pub(crate) owner_uid: String,
    /// 0: a file, whose generation the row counts.
    pub(crate) generation: i64,
    /// Hash of the spec, chosen by the operator.
    pub(crate) hash: String,
    /// The owner that was seen to be gone, so that this one may take over.
    pub(crate) takes_over_from: Option<String>,
}

/// The spec, as JSON in `rooms.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Shown name.
    pub(crate) display_name: String,
    /// Shown topic.
    pub(crate) topic: String,
    /// Who may see it.
    pub(crate) visibility: Visibility,
    /// Class of its logs; immutable.
    pub(crate) class: String,
    /// Members by name.
    pub(crate) members: Vec<NamedMember>,
    /// Limits.
    pub(crate) limits: Limits,
    /// Seconds that PostgreSQL keeps messages; 0: for ever.
    pub(crate) retention_seconds: i64,
    /// What its deletion means.
    pub(crate) deletion_policy: DeletionPolicy,
    /// Replicas with which a new log is declared.
    pub(crate) replicas: i32,
    /// Segment size with which a new log is declared.
    pub(crate) segment_bytes: i64,
    /// What may be uploaded.
    pub(crate) uploads: Uploads,
    /// Bytes that the broker keeps of a log at most; 0: so much that other limits come first. Absent in rows from before it.
    #[serde(default)]
    pub(crate) log_bytes: i64,
    /// The same in seconds.
    #[serde(default)]
    pub(crate) log_seconds: i64,
}

/// Somebody whom a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedMember {
    /// By username.
    pub(crate) username: String,
    /// What they may do.
    pub(crate) role: Role,
}

/// Limits of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Bytes of a message's text.
    pub(crate) message_bytes: i32,
    /// Per person.
    pub(crate) messages_per_second: i32,
    /// Per person.
    pub(crate) burst: i32,
    /// People in the room.
    pub(crate) max_members: i32,
}

/// Limits of uploads to a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Uploads {
    /// Bytes of one.
    pub(crate) max_bytes: i64,
    /// As `image/*`.
    pub(crate) media_types: Vec<String>,
}

/// What happens to a room whose manifest goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeletionPolicy {
    /// Closed to sending, stays readable.
    Retain,
    /// Removed once history is whole and holds no undeleted message.
    DeleteIfEmpty,
    /// Removed with everything in it.
    Delete,
}

impl DeletionPolicy {
    /// As written in manifests and in PostgreSQL.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::DeleteIfEmpty => "DeleteIfEmpty",
            Self::Delete => "Delete",
        }
    }

    /// Reads [`Self::as_str`] back; `None` for another word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Retain, Self::DeleteIfEmpty, Self::Delete].into_iter().find(|policy| policy.as_str() == word)
    }
}
