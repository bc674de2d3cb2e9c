//! Rooms of a real API server: ready, changed, deleted, with servers away, and with two operators.

mod chart;
mod counts;
mod deletion;
mod deployment;
mod election;
mod outages;
mod platforms;
mod pods;
mod rooms;
mod scaling;

use std::time::Duration;

use e2e::kube::{ControlPlane, Extent};
use e2e::rig::Rig;
use e2e::wait;
use serde_json::{Value, json};

use crate::util::{Operator, chat, definitions};

/// For what takes a moment on a quiet machine.
const LIMIT: Duration = Duration::from_mins(1);
const PLATFORM: &str = "/apis/parlor.dev/v1alpha1/namespaces/default/chatplatforms/parlor";

/// An API server that knows both kinds, and the programs for rooms.
struct Cluster {
    plane: ControlPlane,
    rig: Rig,
}

impl Cluster {
    async fn new(extent: Extent) -> Self {
        Self::over(extent, chat()).await
    }

    async fn over(extent: Extent, rig: impl Future<Output = Rig>) -> Self {
        let (plane, rig) = tokio::join!(ControlPlane::start(extent), rig);
        let plane = plane.unwrap();
        plane.define(&definitions()).await.unwrap();
        Self { plane, rig }
    }

    /// An operator, and the platform that takes all rooms.
    async fn operator(&self) -> Operator {
        self.operator_through(&self.rig.vhost.management_url).await
    }

    /// The same, whose platform reaches the broker here.
    async fn operator_through(&self, management_url: &str) -> Operator {
        self.platform(&self.rig, "default", management_url).await;
        self.bare_operator().await
    }

    /// An operator, and no platform yet; that of `default` has the rig's chat-service.
    async fn bare_operator(&self) -> Operator {
        Operator::start_in(&self.rig, &self.plane, &[("default/parlor", self.rig.gateway(0).grpc.clone())]).await
    }

    /// The ChatPlatform `parlor` of this namespace, with the rig's servers; that of `default` takes the rooms of all.
    async fn platform(&self, rig: &Rig, namespace: &str, management_url: &str) {
        let (_, user, password) = without_user(management_url);
        self.secret(namespace, "mq", &json!({"username": user, "password": password})).await;
        self.secret(namespace, "parlor-service-tokens", &json!({"operator": rig.service_token("operator", "rooms")}))
            .await;
        self.apply_object(&platform_object(rig, namespace, management_url)).await;
    }

    async fn secret(&self, namespace: &str, name: &str, data: &Value) {
        self.apply_object(&json!({"apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": {"namespace": namespace, "name": name}}))
            .await;
    }

    async fn apply_object(&self, object: &Value) {
        self.plane.cli.kubectl_reading(&["apply", "--filename", "-"], &object.to_string()).await.unwrap();
    }

    /// The platform of `default`, once this condition of it is so.
    async fn await_platform(&self, kind: &str, status: &str, reason: &str) -> Value {
        wait::until(LIMIT, &format!("the platform's {kind} to be {status}/{reason}"), async || {
            let object = self.plane.get(PLATFORM).await?;
            let found = condition(&object, kind);
            anyhow::ensure!(found["status"] == status && found["reason"] == reason, "it is {}", object["status"]);
            Ok(Some(object))
        })
        .await
        .unwrap()
    }

    async fn apply(&self, name: &str, spec: &Value) {
        self.apply_in("default", name, spec).await;
    }

    async fn apply_in(&self, namespace: &str, name: &str, spec: &Value) {
        let room = json!({"apiVersion": "parlor.dev/v1alpha1", "kind": "ChatRoom",
            "metadata": {"namespace": namespace, "name": name}, "spec": spec});
        self.apply_object(&room).await;
    }

    async fn object(&self, name: &str) -> Value {
        self.object_in("default", name).await
    }

    async fn object_in(&self, namespace: &str, name: &str) -> Value {
        let path = format!("/apis/parlor.dev/v1alpha1/namespaces/{namespace}/chatrooms/{name}");
        self.plane.get(&path).await.unwrap()
    }

    /// The object, once its condition Ready is so, of its present generation.
    async fn await_ready(&self, name: &str, status: &str, reason: &str) -> Value {
        self.await_ready_in("default", name, status, reason).await
    }

    async fn await_ready_in(&self, namespace: &str, name: &str, status: &str, reason: &str) -> Value {
        wait::until(LIMIT, &format!("{name} to be {status}/{reason}"), async || {
            let object = self.object_in(namespace, name).await;
            let ready = condition(&object, "Ready");
            let now = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            anyhow::ensure!(
                now && ready["status"] == status && ready["reason"] == reason,
                "it is {}",
                object["status"]
            );
            Ok(Some(object))
        })
        .await
        .unwrap()
    }

    async fn delete(&self, name: &str) {
        self.plane.cli.kubectl(&["delete", "room", name, "--timeout=90s"]).await.unwrap();
    }

    /// Whether the room is open, as the database has it; `None` without a row.
    async fn is_open(&self, name: &str) -> Option<bool> {
        let pool = self.rig.database.pool().await.unwrap();
        let sql = "select open from rooms where namespace = 'default' and name = $1";
        sqlx::query_scalar(sql).bind(name).fetch_optional(&pool).await.unwrap()
    }
}

/// The ChatPlatform `parlor` as a manifest.
fn platform_object(rig: &Rig, namespace: &str, management_url: &str) -> Value {
    let (management, _, _) = without_user(management_url);
    let (amqp, _, _) = without_user(&rig.vhost.admin_url);
    let mut platform = json!({"apiVersion": "parlor.dev/v1alpha1", "kind": "ChatPlatform",
    "metadata": {"namespace": namespace, "name": "parlor"},
    "spec": {
        "rabbitmq": {"amqpUris": [amqp], "managementUri": management, "vhost": rig.vhost.name,
            "secretRef": {"name": "mq"}, "servicesSecretRef": {"name": "mq"}},
        "rooms": {"classes": [{"name": "standard", "replicas": 1}]},
    }});
    if namespace == "default" {
        platform["metadata"]["annotations"] = json!({"parlor.dev/default": "true"});
        platform["spec"]["rooms"]["namespaceSelector"] = json!({});
    }
    platform
}

fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().find(|condition| condition["type"] == kind).cloned().unwrap_or(Value::Null)
}

/// An address without its user and password and what stands behind, and these two.
fn without_user(url: &str) -> (String, String, String) {
    let url: reqwest::Url = url.parse().unwrap();
    let host = format!("{}://{}:{}", url.scheme(), url.host_str().unwrap(), url.port().unwrap());
    (host, url.username().to_owned(), url.password().unwrap().to_owned())
}
