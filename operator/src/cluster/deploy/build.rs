//! Everything that a platform has in the cluster, pure: one function for each kind of thing, and what all of them share.

mod demo;
mod edge;
mod migration;
mod program;
mod programs;
mod secrets;

use contract::room::RoomName;
use kube::api::ApiResource;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crd::chat_platform::{Chat, ChatPlatformSpec, Users};
pub(super) use demo::{DEMO, credentials as demo_credentials, secret as demo_secret};
pub(crate) use demo::{DemoImages, complete};
pub(super) use programs::{CHAT_HEALTH, GATEWAY, HISTORIAN, USER_SERVICE, USERS_HEALTH};
pub(super) use secrets::{Credentials, KEYS};
pub(crate) use secrets::{Given, TOKENS};

/// Who manages the objects: label and field manager.
pub(super) const MANAGER: &str = "parlor-operator";
/// Namespace of hashes.
const HASHES: Uuid = Uuid::from_u128(0x7061_726c_6f72_4b38_9d1c_52e0_77ab_10c4);

/// An object as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// Its kind.
    pub(super) kind: Kind,
    /// All of it that is ours to say.
    pub(super) value: Value,
}

/// The kinds of objects that a platform has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// What a program is called by the cluster.
    ServiceAccount,
    /// Passwords, addresses and tokens.
    Secret,
    /// Runs the migrations.
    Job,
    /// A program.
    Deployment,
    /// A server of a demonstration.
    StatefulSet,
    /// Where a program is reached.
    Service,
    /// How many pods may go at once.
    PodDisruptionBudget,
    /// Where people reach the platform.
    Ingress,
}

impl Kind {
    /// In the order in which they are made.
    pub(super) const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::Job,
        Self::Deployment,
        Self::StatefulSet,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Ingress,
    ];

    /// How the API server knows it.
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
        };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// A platform that runs programs.
pub(super) struct Platform<'a> {
    /// Namespace and name.
    pub(super) name: &'a RoomName,
    /// Of the ChatPlatform.
    pub(super) uid: &'a str,
    /// The whole spec.
    pub(super) spec: &'a ChatPlatformSpec,
    /// Its `spec.chat`.
    pub(super) chat: &'a Chat,
    /// Its `spec.users`.
    pub(super) users: &'a Users,
    /// From the Secrets that the spec names.
    pub(super) given: &'a Given,
    /// Of a demonstration's servers.
    pub(super) images: &'a DemoImages,
    /// What the operator makes itself.
    pub(super) credentials: &'a Credentials,
}

/// All objects, in the order in which they are made.
pub(super) fn objects(platform: &Platform<'_>) -> Vec<Object> {
    let mut objects = secrets::objects(platform);
    objects.extend(migration::objects(platform));
    objects.extend(programs::objects(platform));
    objects.extend(edge::ingress(platform));
    objects.extend(demo::objects(platform));
    objects.sort_by_key(|object| object.kind);
    objects
}

/// Selects all objects of a platform.
pub(super) fn selector(platform: &RoomName) -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},app.kubernetes.io/instance={}", platform.name())
}

impl Platform<'_> {
    /// `<platform>-<part>`.
    fn part(&self, part: &str) -> String {
        format!("{}-{part}", self.name.name())
    }

    /// Where a program is reached in the cluster.
    fn inside(&self, part: &str, port: u16) -> String {
        format!("http://{}.{}.svc:{port}", self.part(part), self.name.namespace())
    }

    /// What selects the pods of a program. Never changes.
    fn selector(&self, part: &str) -> Value {
        json!({"app.kubernetes.io/name": part, "app.kubernetes.io/instance": self.name.name()})
    }

    /// Labels of every object.
    fn labels(&self, part: &str) -> Value {
        let mut labels = self.selector(part);
        labels["app.kubernetes.io/part-of"] = json!("parlor");
        labels["app.kubernetes.io/managed-by"] = json!(MANAGER);
        labels
    }

    /// An object that goes with the platform.
    fn object(&self, kind: Kind, part: &str, name: &str, mut rest: Value) -> Object {
        let resource = kind.resource();
        rest["apiVersion"] = json!(resource.api_version);
        rest["kind"] = json!(resource.kind);
        rest["metadata"] = json!({
            "name": name,
            "namespace": self.name.namespace(),
            "labels": self.labels(part),
            "ownerReferences": [{
                "apiVersion": crate::crd::API_VERSION,
                "kind": crate::crd::PLATFORM_KIND,
                "name": self.name.name(),
                "uid": self.uid,
                "controller": true,
            }],
        });
        Object { kind, value: rest }
    }
}

/// Something short that is another one for another value.
fn hash(value: &Value) -> String {
    Uuid::new_v5(&HASHES, value.to_string().as_bytes()).simple().to_string()[..12].to_owned()
}

#[cfg(test)]
mod tests;
