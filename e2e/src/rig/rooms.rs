//! The rig's folder of manifests, and what the operator says of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Rig;
use crate::wait;

impl Rig {
    /// The folder that the operator watches.
    pub fn rooms(&self) -> PathBuf {
        self.folder.path().join("rooms")
    }

    /// Writes the manifest of a room with this `spec` as `<namespace>.<name>.yaml`; gives the path. JSON is YAML.
    pub fn write_room(&self, room: &str, spec: &Value) -> Result<PathBuf> {
        let (namespace, name) = room.split_once('/').context("a room is namespace/name")?;
        let manifest = json!({
            "apiVersion": "parlor.dev/v1alpha1",
            "kind": "ChatRoom",
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        });
        self.write_manifest(&format!("{namespace}.{name}.yaml"), &manifest.to_string())
    }

    /// Writes the platform's manifest with these classes beside `standard`.
    pub fn write_platform(&self, classes: &[Value]) -> Result<PathBuf> {
        let standard = json!({"name": "standard", "replicas": 1});
        let classes: Vec<&Value> = std::iter::once(&standard).chain(classes).collect();
        let manifest = json!({
            "apiVersion": "parlor.dev/v1alpha1",
            "kind": "ChatPlatform",
            "metadata": {"name": "parlor"},
            "spec": {"rooms": {"classes": classes}},
        });
        self.write_manifest("platform.yaml", &manifest.to_string())
    }

    /// Asks, by the room's manifest, for a new log in place of the one with this epoch.
    pub fn replace_log(&self, room: &str, epoch: &str) -> Result<()> {
        let (namespace, name) = room.split_once('/').context("a room is namespace/name")?;
        let annotations = json!({"parlor.dev/replace-log": epoch});
        let manifest = json!({
            "apiVersion": "parlor.dev/v1alpha1",
            "kind": "ChatRoom",
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
            "spec": {},
        });
        self.write_manifest(&format!("{namespace}.{name}.yaml"), &manifest.to_string()).map(drop)
    }

    /// Writes any text as a manifest, in one step: half a file is another test's subject.
    pub fn write_manifest(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.rooms().join(file);
        let fresh = self.folder.path().join(format!("{file}.new"));
        std::fs::write(&fresh, text).with_context(|| format!("failed to write {}", fresh.display()))?;
        std::fs::rename(&fresh, &path).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// `GET /status` of the operator.
    pub async fn status(&self) -> Result<Value> {
        let operator = self.operator.as_ref().context("no operator was started")?;
        let answer = self.http.get(format!("{}/status", operator.address.http)).send().await?;
        answer.error_for_status()?.json().await.context("the operator's status is no JSON")
    }

    /// What the operator says of one room, once `which` accepts it.
    pub async fn room_status(&self, room: &str, limit: Duration, which: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("the status of {room}");
        wait::until(limit, &what, || {
            let which = &which;
            async move {
                let status = self.status().await?;
                let rooms = status["rooms"].as_array().cloned().unwrap_or_default();
                let found = rooms.into_iter().find(|one| one["room"] == room).unwrap_or(Value::Null);
                anyhow::ensure!(which(&found), "it is {found}");
                Ok(Some(found))
            }
        })
        .await
    }

    /// Waits until so many rooms are ready.
    pub async fn rooms_ready(&self, count: usize, limit: Duration) -> Result<()> {
        wait::until(limit, &format!("{count} rooms ready"), || async {
            let status = self.status().await?;
            let rooms = status["rooms"].as_array().cloned().unwrap_or_default();
            let ready = rooms.iter().filter(|room| room["ready"] == true).count();
            anyhow::ensure!(ready >= count, "{ready} are; the status is {}", shortened(&status));
            Ok(Some(()))
        })
        .await
    }
}

fn shortened(status: &Value) -> String {
    status.to_string().chars().take(2_000).collect()
}
