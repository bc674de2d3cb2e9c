//! ChatPlatform: what serves the rooms. In a folder only `spec.rooms` has a meaning; the rest is for Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::scaling::{GatewayScaling, HistorianScaling, UsersScaling, WorkerScaling};
use super::{law, shape};

/// Annotation of the platform that takes the rooms that name none; its value is `true`.
pub(crate) const DEFAULT: &str = "parlor.dev/default";

/// The servers that a platform uses, the programs that it runs and the rooms that it takes.
#[derive(CustomResource, JsonSchema, Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "parlor.dev",
    version = "v1alpha1",
    kind = "ChatPlatform",
    plural = "chatplatforms",
    namespaced,
    status = "ChatPlatformStatus",
    category = "parlor",
    derive = "PartialEq",
    doc = "A chat platform: the services that serve rooms, and the RabbitMQ, PostgreSQL and Redis that they use.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Rooms", type_ = "integer", json_path = ".status.rooms.total"),
    printcolumn(name = "Stalled", type_ = "integer", json_path = ".status.rooms.stalled"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')").message(
        "metadata.name begins the names of Deployments: choose a name of at most 40 characters without dots"
    )
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChatPlatformSpec {
    /// The broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rabbitmq: Option<Rabbitmq>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<Store>,
    /// Sessions, presence and limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<Store>,
    /// Secrets in the platform's namespace that open the registry of the images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub(crate) image_pull_secrets: Vec<SecretRef>,
    /// chat-service and its roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chat: Option<Chat>,
    /// user-service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) users: Option<Users>,
    /// Which rooms the platform takes, and the classes of their logs.
    pub(crate) rooms: Rooms,
    /// How people reach the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ingress: Option<Ingress>,
    /// True: also a single small RabbitMQ, PostgreSQL and Redis, to try it out. Without a host name its
    /// pages work at http://localhost:8080, through `kubectl port-forward` of both Services.
    pub(crate) demo: bool,
}

/// The broker.
#[derive(JsonSchema, Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rabbitmq {
    /// AMQP addresses of the nodes, without credentials.
    #[schemars(length(min = 1, max = 16), inner(length(max = 253), regex(pattern = shape::AMQP_URL)))]
    pub(crate) amqp_uris: Vec<String>,
    /// Address of the management API, without credentials.
    #[schemars(length(max = 253), regex(pattern = shape::HTTP_URL))]
    pub(crate) management_uri: String,
    /// The virtual host, this platform's alone. Immutable.
    #[serde(default = "vhost")]
    #[schemars(length(min = 1, max = 128))]
    #[schemars(extend("x-kubernetes-validations" = [law::on_change("self == oldSelf", "spec.rabbitmq.vhost is immutable: logs do not move between virtual hosts")]))]
    pub(crate) vhost: String,
    /// Secret with `username` and `password` of the operator's user: `^parlor\.` configure, write and read, tag `policymaker`.
    pub(crate) secret_ref: SecretRef,
    /// Secret with `username` and `password` of the services' user.
    pub(crate) services_secret_ref: SecretRef,
    /// Certificate authority that the broker's certificate comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_ref: Option<KeyRef>,
}

/// PostgreSQL or Redis.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Store {
    /// Key of a Secret that holds the address with user and password.
    pub(crate) secret_ref: KeyRef,
    /// Certificate authority that the server's certificate comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_ref: Option<KeyRef>,
}

/// A Secret in the platform's namespace.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
pub(crate) struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
}

/// One key of a Secret in the platform's namespace.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
pub(crate) struct KeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) key: String,
}

/// chat-service and its roles.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Chat {
    /// Image of chat-service.
    #[schemars(length(min = 1, max = 500))]
    pub(crate) image: String,
    /// Sockets and REST.
    #[serde(default)]
    pub(crate) gateway: Gateway,
    /// Writes the logs to PostgreSQL.
    #[serde(default)]
    pub(crate) historian: Historian,
    /// Uploads, notifications, webhooks.
    #[serde(default)]
    pub(crate) worker: Worker,
}

/// The role `gateway`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Gateway {
    /// How many pods.
    pub(crate) scaling: GatewayScaling,
    /// How a pod that goes lets go of its sockets.
    pub(crate) drain: Drain,
    /// What its pods ask for and where they run.
    #[serde(flatten)]
    pub(crate) pods: Pods,
}

/// The role `historian`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Historian {
    /// How many pods.
    pub(crate) scaling: HistorianScaling,
    /// What its pods ask for and where they run.
    #[serde(flatten)]
    pub(crate) pods: Pods,
}

/// The role `worker`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Worker {
    /// How many pods.
    pub(crate) scaling: WorkerScaling,
    /// What its pods ask for and where they run.
    #[serde(flatten)]
    pub(crate) pods: Pods,
}

/// What the pods of a program ask for, where they run and what they carry.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Pods {
    /// Requests and limits of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<ResourceRequirements>,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods accept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub(crate) tolerations: Vec<Toleration>,
    /// How the pods spread over nodes and zones. Without a `labelSelector` a constraint is about the pods of this program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub(crate) topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// More labels of a pod. Those of Parlor itself stay as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pod_labels: BTreeMap<String, String>,
    /// More annotations of a pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) pod_annotations: BTreeMap<String, String>,
}

/// user-service.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Users {
    /// Image of user-service.
    #[schemars(length(min = 1, max = 500))]
    pub(crate) image: String,
    /// How many pods.
    #[serde(default)]
    pub(crate) scaling: UsersScaling,
    /// Who may make an account.
    #[serde(default)]
    pub(crate) registration: Registration,
    /// What its pods ask for and where they run.
    #[serde(flatten)]
    pub(crate) pods: Pods,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Registration {
    /// Everyone.
    Open,
    /// Those with an invite.
    Invite,
    /// Nobody.
    #[default]
    Closed,
}

/// How a pod that goes lets go of its sockets.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [law::DRAIN.rule()]))]
pub(crate) struct Drain {
    /// How long it may take.
    #[schemars(range(min = 0, max = 3600))]
    pub(crate) seconds: u32,
    /// Over how long clients are told to go, so that they do not all come back at once.
    #[schemars(range(min = 0, max = 3600))]
    pub(crate) spread_seconds: u32,
}

impl Default for Drain {
    fn default() -> Self {
        Self { seconds: 60, spread_seconds: 20 }
    }
}

/// Which rooms the platform takes, and the classes of their logs.
#[derive(JsonSchema, Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rooms {
    /// Namespaces whose rooms are taken. Empty: all. Absent: the platform's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_selector: Option<LabelSelector>,
    /// Most rooms of one namespace. Absent: as many as there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_per_namespace: Option<u32>,
    /// Classes of logs that rooms choose from by `className`.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub(crate) classes: Vec<Class>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { namespace_selector: None, max_per_namespace: None, classes: vec![Class::named("standard")] }
    }
}

/// A class of logs. What is frozen when a log is made holds for logs made later; age and size change in place.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [law::SEGMENTS.rule()]))]
pub(crate) struct Class {
    /// What rooms name it by; one word of the streams' names.
    #[schemars(length(min = 1, max = 63), regex(pattern = shape::LABEL))]
    pub(crate) name: String,
    /// Replicas of a log, at most one a node. For logs made later.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 9))]
    pub(crate) replicas: u32,
    /// Size of a log's segments, 64Ki to 1Gi: old messages go a whole segment at a time. For logs made later.
    #[serde(default = "segment_bytes")]
    #[schemars(extend("x-kubernetes-validations" = [law::SEGMENT_BYTES.rule()]))]
    pub(crate) segment_bytes: Bytes,
    /// How long the log keeps events, as `7d`; history in PostgreSQL is another thing. Changes in place.
    #[serde(default = "max_age")]
    #[schemars(length(max = 6), regex(pattern = shape::AGE))]
    pub(crate) max_age: String,
    /// Size beyond which the log drops its oldest segments, at least four of them. Changes in place.
    #[serde(default = "max_bytes")]
    #[schemars(extend("x-kubernetes-validations" = [law::LOG_BYTES.rule()]))]
    pub(crate) max_bytes: Bytes,
}

impl Class {
    /// The class with this name and every default.
    #[must_use]
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            replicas: replicas(),
            segment_bytes: segment_bytes(),
            max_age: max_age(),
            max_bytes: max_bytes(),
        }
    }
}

/// How people reach the platform.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ingress {
    /// Host name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) host: String,
    /// Class of the ingress controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) class_name: Option<String>,
    /// Secret with the host's certificate. Absent: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(crate) tls_secret_name: Option<String>,
}

/// What became of a platform.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChatPlatformStatus {
    /// `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, BrokerReachable and one for each part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub(crate) conditions: Vec<Condition>,
    /// How the rooms are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rooms: Option<RoomCounts>,
    /// Address for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// Version of the programs that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
}

/// How the rooms of a platform are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RoomCounts {
    /// All.
    pub(crate) total: u32,
    /// One can send to them.
    pub(crate) ready: u32,
    /// They need somebody.
    pub(crate) stalled: u32,
}

fn vhost() -> String {
    "parlor".to_owned()
}

fn replicas() -> u32 {
    3
}

fn segment_bytes() -> Bytes {
    Bytes::new("16Mi")
}

fn max_age() -> String {
    "7d".to_owned()
}

fn max_bytes() -> Bytes {
    Bytes::new("1Gi")
}
