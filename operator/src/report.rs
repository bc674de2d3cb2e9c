//! What is said of rooms, files and the platform: `/status` shows it, the log tells each change once.

mod board;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::room::RoomName;
use serde::{Serialize, Serializer};

use crate::context::Closed;

pub(crate) use board::{Board, Boards};

/// Why something is as it is: a closed list, described in `docs/reference/conditions.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// One can send.
    Ready,
    /// The file is right.
    Accepted,
    /// It is its turn soon.
    Pending,
    /// The log is declared; a log before it is being closed.
    LogOpening,
    /// Ready; somebody whom the manifest names has no account yet.
    MembersUnresolved,
    /// Ready; a subscription left the manifest, its queue is still there.
    SubscriptionDropped,
    /// `suspend: true`.
    Suspended,
    /// The manifest cannot be read or is wrong.
    InvalidManifest,
    /// Another manifest declared this room first.
    NameConflict,
    /// The platform has no such class.
    ClassNotFound,
    /// The manifest names another platform.
    PlatformNotFound,
    /// The namespace has as many rooms as the platform allows.
    QuotaExceeded,
    /// A field that cannot change has changed.
    ImmutableField,
    /// Something exists with other arguments.
    ArgumentsConflict,
    /// The broker is another platform's.
    ForeignBroker,
    /// A Secret or an address that the platform needs is missing.
    ConnectionsMissing,
    /// RabbitMQ does not answer.
    BrokerUnreachable,
    /// RabbitMQ says no.
    BrokerRefused,
    /// chat-service or PostgreSQL do not answer.
    RoomsServiceUnreachable,
    /// chat-service says no.
    RoomsServiceRefused,
    /// An object of the platform cannot be made.
    ApplyFailed,
    /// A program cannot use PostgreSQL.
    DatabaseUnreachable,
    /// A program cannot use Redis.
    CacheUnreachable,
    /// The database is being migrated.
    Migrating,
    /// The migrations failed.
    MigrationFailed,
    /// No pod of the program is available.
    NoneAvailable,
    /// Some pods of the program are not there yet, or not of the newest version.
    RollingOut,
    /// The manifest is gone, and messages remain.
    NotEmpty,
    /// The manifest is gone, and the room is on its way out.
    Deleting,
    /// The manifest is gone: readable, closed to sending.
    Withdrawn,
    /// The manifest is gone together with too many others: waits for a person.
    WithdrawalsHeld,
    /// A field means something only in Kubernetes.
    NotApplicable,
    /// A field is for a part that this version does not have.
    NotBuilt,
}

impl Reason {
    /// As people and programs read it.
    pub(crate) fn word(self) -> String {
        format!("{self:?}")
    }

    /// Whether a server is away or not known: that may pass any moment, and nobody has to change a room's manifest.
    pub(crate) fn is_away(self) -> bool {
        matches!(self, Self::ConnectionsMissing | Self::BrokerUnreachable | Self::RoomsServiceUnreachable)
    }

    /// Whether somebody has to do something.
    pub(crate) fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::InvalidManifest
                | Self::NameConflict
                | Self::ClassNotFound
                | Self::PlatformNotFound
                | Self::QuotaExceeded
                | Self::ImmutableField
                | Self::ArgumentsConflict
                | Self::ForeignBroker
                | Self::BrokerRefused
                | Self::RoomsServiceRefused
                | Self::MigrationFailed
                | Self::NotEmpty
        )
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.word())
    }
}

/// How a room is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RoomReport {
    /// One can send to it.
    pub(crate) ready: bool,
    /// Why.
    pub(crate) reason: Reason,
    /// For people; with the cure.
    pub(crate) message: String,
    /// Its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<String>,
    /// The log's stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// Version of the object that this speaks of; in a folder none.
    #[serde(skip)]
    pub(crate) generation: Option<i64>,
    /// Usernames of the manifest that nobody holds yet.
    #[serde(skip)]
    pub(crate) members_pending: Vec<String>,
}

impl RoomReport {
    /// Not ready, for this reason.
    pub(crate) fn not_ready(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            ready: false,
            reason,
            message: message.into(),
            epoch: None,
            stream: None,
            generation: None,
            members_pending: Vec::new(),
        }
    }

    /// The same, with the log that the room has.
    pub(crate) fn with_log(mut self, log: Option<&proto::chat::v1::Log>) -> Self {
        self.epoch = log.map(|log| log.epoch.clone());
        self.stream = log.map(|log| log.stream.clone());
        self
    }
}

/// How a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileReport {
    /// Everything in it is understood and counts.
    pub(crate) ready: bool,
    /// Why.
    pub(crate) reason: Reason,
    /// For people; each fault with its line.
    pub(crate) message: String,
}

/// Something about the platform that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Notice {
    /// A word.
    pub(crate) reason: &'static str,
    /// For people; with the cure.
    pub(crate) message: String,
}

/// Everything that `/status` shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    /// Rooms that a manifest declares or that are not done with.
    pub(crate) rooms: BTreeMap<RoomName, RoomReport>,
    /// Files of the folder.
    pub(crate) files: BTreeMap<Arc<str>, FileReport>,
    /// Rooms whose manifest is gone, readable.
    pub(crate) withdrawn: BTreeMap<RoomName, RoomReport>,
    /// About the platform.
    pub(crate) notices: BTreeSet<Notice>,
    /// How the last look at the servers ended; `None`: none has ended yet.
    pub(crate) servers: Option<Result<(), Closed>>,
    /// How the last pass over the platform's programs ended; `None`: none has ended yet, or there are none to deploy.
    pub(crate) deployed: Option<Result<Deployed, Closed>>,
}

/// What became of a platform's programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// One condition each.
    pub(crate) parts: Vec<Part>,
    /// Where people reach the platform.
    pub(crate) endpoint: Option<String>,
    /// Version of the programs.
    pub(crate) version: Option<String>,
}

/// How one part of a platform is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The condition's type.
    pub(crate) kind: &'static str,
    /// Why it is as it is; `Ready`: it is there; `Pending`: not known.
    pub(crate) reason: Reason,
    /// For people; with the cure.
    pub(crate) message: String,
}

impl Part {
    /// It is there.
    pub(crate) fn ready(kind: &'static str) -> Self {
        Self { kind, reason: Reason::Ready, message: String::new() }
    }

    /// It is not.
    pub(crate) fn not_ready(kind: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into() }
    }
}
