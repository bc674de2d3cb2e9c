//! ChatRoom: one room as a manifest says it. Fields and defaults are fixed in the protocol; ranges are chosen here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::{law, shape};

/// Longest text that a room may allow, in bytes: with its escapes it still fits a frame of 64 KiB.
pub(crate) const MESSAGE_BYTES_MOST: u32 = 16_384;

/// What a room is to be. Every field has a default: a manifest needs a name and nothing else.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "parlor.dev",
    version = "v1alpha1",
    kind = "ChatRoom",
    plural = "chatrooms",
    namespaced,
    status = "ChatRoomStatus",
    shortname = "room",
    shortname = "rooms",
    category = "parlor",
    derive = "PartialEq",
    doc = "A chat room: people talk in it, and its queues and bindings exist in RabbitMQ as long as it does.",
    selectable = ".spec.className",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Visibility", type_ = "string", json_path = ".spec.visibility", priority = 1),
    printcolumn(name = "Epoch", type_ = "string", json_path = ".status.epoch", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')").message(
        "metadata.name is one word of a routing key: choose a name of at most 63 characters without dots"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    law::MEMBERS.rule(),
    law::on_change(
        "has(self.platformRef) == has(oldSelf.platformRef) && (!has(self.platformRef) || self.platformRef == oldSelf.platformRef)",
        "spec.platformRef is immutable: a room does not move; make a new room on the other platform",
    ),
    law::on_change(
        "!has(oldSelf.subscriptions) || !has(self.subscriptions) || oldSelf.subscriptions.all(o, self.subscriptions.all(n, n.name != o.name || (n.maxLength == o.maxLength && n.deliveryLimit == o.deliveryLimit)))",
        "limits of a subscription never change: add one under a new name",
    ),
]))]
pub(crate) struct ChatRoomSpec {
    /// The platform that serves this room. Absent: the one named `parlor` in the room's namespace, else the default one. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform_ref: Option<PlatformRef>,
    /// Class of the room's log, one of the platform's `spec.rooms.classes`. Immutable.
    #[serde(default = "standard")]
    #[schemars(length(min = 1, max = 63), regex(pattern = shape::LABEL))]
    #[schemars(extend("x-kubernetes-validations" = [law::on_change("self == oldSelf", "spec.className is immutable: a log cannot change its class; make a new room with the other class")]))]
    pub(crate) class_name: String,
    /// Name that people see. Absent: metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = shape::LINE))]
    pub(crate) display_name: Option<String>,
    /// What the room is about.
    #[serde(default)]
    #[schemars(length(max = 500), regex(pattern = shape::TEXT))]
    pub(crate) topic: String,
    /// Who sees the room: everyone who is signed in (`Public`), or members alone (`Private`).
    #[serde(default)]
    pub(crate) visibility: Visibility,
    /// People of the room, by username. One who is dropped here is out, unless they joined themselves.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["user"]))]
    pub(crate) members: Vec<Member>,
    /// What one person may send, and how many people the room takes.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// How long messages are kept in PostgreSQL.
    #[serde(default)]
    pub(crate) retention: Retention,
    /// Files that people may send.
    #[serde(default)]
    pub(crate) uploads: Uploads,
    /// Queues for other programs, each with one event of this room a message.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub(crate) subscriptions: Vec<Subscription>,
    /// What happens to the room when this manifest goes.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// True: the operator changes nothing of this room; the room itself goes on.
    #[serde(default)]
    pub(crate) suspend: bool,
}

/// Names a ChatPlatform.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) struct PlatformRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = shape::LABEL))]
    pub(crate) name: String,
    /// Its namespace. Absent: the room's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = shape::LABEL))]
    pub(crate) namespace: Option<String>,
}

/// Who sees a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Visibility {
    /// Everyone who is signed in reads it; sending needs joining.
    #[default]
    Public,
    /// For those outside it does not exist.
    Private,
}

/// A person of the room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Member {
    /// Username. One that nobody holds yet is reserved: registering it needs an invite.
    #[schemars(length(min = 1, max = 32), regex(pattern = shape::USERNAME))]
    pub(crate) user: String,
    /// What they may do.
    #[serde(default)]
    pub(crate) role: Role,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Role {
    /// Everything.
    Owner,
    /// Also edits and deletes others' messages.
    Moderator,
    /// Reads and sends.
    #[default]
    Member,
    /// Reads.
    ReadOnly,
}

/// What one person may send, and how many people the room takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Limits {
    /// Longest text of a message, in bytes.
    #[schemars(range(min = 1, max = MESSAGE_BYTES_MOST))]
    pub(crate) message_bytes: u32,
    /// Messages that one person may send per second, on average.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) messages_per_second: u32,
    /// Messages that one person may send at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) burst: u32,
    /// People that the room takes.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_members: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 8192, messages_per_second: 10, burst: 20, max_members: 5000 }
    }
}

/// How long messages are kept in PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Retention {
    /// A number of hours (h), days (d) or weeks (w), as `52w`. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 6), regex(pattern = shape::AGE))]
    pub(crate) messages: Option<String>,
}

/// Files that people may send.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Uploads {
    /// Largest file, as `25Mi`; at most 5Gi.
    #[schemars(extend("x-kubernetes-validations" = [law::UPLOAD_BYTES.rule()]))]
    pub(crate) max_bytes: Bytes,
    /// Media types that are taken, as `application/pdf`, or families of them, as `image/*`. An empty list: no uploads.
    #[schemars(length(max = 32), inner(length(max = 127), regex(pattern = shape::MEDIA_TYPE)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub(crate) media_types: Vec<String>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { max_bytes: Bytes::new("25Mi"), media_types: vec!["image/*".into(), "application/pdf".into()] }
    }
}

/// A durable queue for another program: `parlor.sub.<namespace>.<room>.<subscription>`.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscription {
    /// One word of the queue's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = shape::LABEL))]
    pub(crate) name: String,
    /// Types of events that it gets.
    #[schemars(length(min = 1, max = 7))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub(crate) events: Vec<EventType>,
    /// Messages that the queue holds; a full one drops its oldest. Never changes: add a subscription under a new name.
    #[serde(default = "subscription_length")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) max_length: u32,
    /// How often a message is delivered again before it is dropped. Never changes: add a subscription under a new name.
    #[serde(default = "subscription_deliveries")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) delivery_limit: u32,
}

/// Types of events, as in `event.<namespace>.<name>.<type>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventType {
    /// A new message.
    Message,
    /// A new text for a message.
    Edited,
    /// A message is gone for good.
    Deleted,
    /// An emoji on a message.
    Reaction,
    /// Somebody came, went, or has another role.
    Member,
    /// The room itself changed.
    Room,
    /// An upload is ready, or refused.
    Attachment,
}

impl EventType {
    /// The word in routing keys.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reaction => "reaction",
            Self::Member => "member",
            Self::Room => "room",
            Self::Attachment => "attachment",
        }
    }
}

/// What happens to a room when its manifest goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum DeletionPolicy {
    /// Closed to sending, still readable; comes back with the manifest.
    #[default]
    Retain,
    /// Removed if no undeleted message is in it, else as `Retain`.
    DeleteIfEmpty,
    /// Removed with all that was said.
    Delete,
}

impl DeletionPolicy {
    /// The word in manifests and in PostgreSQL.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::DeleteIfEmpty => "DeleteIfEmpty",
            Self::Delete => "Delete",
        }
    }
}

/// What became of a room.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChatRoomStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub(crate) conditions: Vec<Condition>,
    /// Name of the room's log, as `1-k3f9qa`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<String>,
    /// The log's stream in RabbitMQ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// Usernames of the manifest that nobody holds yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members_pending: Vec<String>,
}

fn standard() -> String {
    "standard".to_owned()
}

fn subscription_length() -> u32 {
    100_000
}

fn subscription_deliveries() -> u32 {
    10
}
