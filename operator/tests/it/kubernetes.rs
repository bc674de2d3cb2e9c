//! Rooms of a real API server: ready, changed, deleted, with servers away, and with two operators.

mod counts;
mod deletion;
mod election;
mod outages;
mod rooms;

use std::time::Duration;

use e2e::kube::{ControlPlane, Extent};
use e2e::rig::Rig;
use e2e::wait;
use serde_json::{Value, json};

use crate::util::{Flags, Operator, chat, definitions};

/// For what takes a moment on a quiet machine.
const LIMIT: Duration = Duration::from_mins(1);
const ROOMS: &str = "/apis/parlor.dev/v1alpha1/namespaces/default/chatrooms";

/// An API server that knows both kinds, and the programs for rooms.
struct Cluster {
    plane: ControlPlane,
    rig: Rig,
}

impl Cluster {
    async fn new(extent: Extent) -> Self {
        let (plane, rig) = tokio::join!(ControlPlane::start(extent), chat());
        let plane = plane.unwrap();
        plane.define(&definitions()).await.unwrap();
        Self { plane, rig }
    }

    async fn operator(&self) -> Operator {
        self.operator_through(&self.rig.vhost.management_url).await
    }

    async fn operator_through(&self, management_url: &str) -> Operator {
        self.operator_with(Flags { management_url, events: false, resync_seconds: 2, chat: vec![] }).await
    }

    async fn operator_with(&self, flags: Flags<'_>) -> Operator {
        Operator::start_in(&self.rig, &self.plane, flags).await
    }

    async fn apply(&self, name: &str, spec: &Value) {
        self.apply_in("default", name, spec).await;
    }

    async fn apply_in(&self, namespace: &str, name: &str, spec: &Value) {
        let room = json!({"apiVersion": "parlor.dev/v1alpha1", "kind": "ChatRoom",
            "metadata": {"namespace": namespace, "name": name}, "spec": spec});
        self.plane.kubectl_reading(&["apply", "--filename", "-"], &room.to_string()).await.unwrap();
    }

    async fn object(&self, name: &str) -> Value {
        self.plane.get(&format!("{ROOMS}/{name}")).await.unwrap()
    }

    /// The object, once its condition Ready is so, of its present generation.
    async fn await_ready(&self, name: &str, status: &str, reason: &str) -> Value {
        wait::until(LIMIT, &format!("{name} to be {status}/{reason}"), async || {
            let object = self.object(name).await;
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
        self.plane.kubectl(&["delete", "room", name, "--timeout=90s"]).await.unwrap();
    }

    /// Whether the room is open, as the database has it; `None` without a row.
    async fn is_open(&self, name: &str) -> Option<bool> {
        let pool = self.rig.database.pool().await.unwrap();
        let sql = "select open from rooms where namespace = 'default' and name = $1";
        sqlx::query_scalar(sql).bind(name).fetch_optional(&pool).await.unwrap()
    }
}

fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().find(|condition| condition["type"] == kind).cloned().unwrap_or(Value::Null)
}
