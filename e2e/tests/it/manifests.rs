//! Twenty kinds of wrong manifests: each is told with its file, its line or field and the cure, and none keeps a good one from being
//! a room.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::rig::Rig;
use e2e::wait;
use serde_json::Value;

const GOOD: &str = "team-a/general";
const SOON: Duration = Duration::from_secs(30);

/// Name of the file, what the message must say, and the text.
type Wrong = (&'static str, &'static str, String);

fn room(rest: &str) -> String {
    format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: wrong, namespace: team-w}}\n{rest}")
}

fn kinds() -> Vec<Wrong> {
    let spec = |text: &str| room(&format!("spec: {text}\n"));
    vec![
        ("no-yaml.yaml", "line", "apiVersion: [parlor.dev/v1alpha1\nkind: ChatRoom\n".to_owned()),
        ("tab.yaml", "line", "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\n\tmetadata: {name: x}\n".to_owned()),
        ("no-object.yaml", "", "- a\n- b\n".to_owned()),
        ("no-kind.yaml", "kind", "apiVersion: parlor.dev/v1alpha1\nmetadata: {name: x}\n".to_owned()),
        (
            "other-kind.yaml",
            "kind",
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRome\nmetadata: {name: x}\n".to_owned(),
        ),
        (
            "other-version.yaml",
            "apiVersion",
            "apiVersion: parlor.dev/v7\nkind: ChatRoom\nmetadata: {name: x}\n".to_owned(),
        ),
        (
            "no-name.yaml",
            "metadata.name",
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {namespace: a}\n".to_owned(),
        ),
        (
            "name-with-dot.yaml",
            "metadata.name",
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: a.b}\n".to_owned(),
        ),
        (
            "long-name.yaml",
            "metadata.name",
            format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: {}}}\n", "a".repeat(64)),
        ),
        (
            "namespace.yaml",
            "metadata.namespace",
            "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: a, namespace: ~people}\n".to_owned(),
        ),
        ("unknown-field.yaml", "spec.topik", spec("{topik: x}")),
        ("visibility.yaml", "spec.visibility", spec("{visibility: Secret}")),
        ("role.yaml", "spec.members", spec("{members: [{user: alice, role: King}]}")),
        ("user.yaml", "spec.members", spec("{members: [{user: Alice}]}")),
        ("twice.yaml", "spec.members", spec("{members: [{user: alice}, {user: alice, role: Owner}]}")),
        ("retention.yaml", "spec.retention", spec("{retention: {messages: 1y}}")),
        ("limit.yaml", "spec.limits", spec("{limits: {messageBytes: 0}}")),
        ("limit-type.yaml", "spec.limits", spec("{limits: {burst: many}}")),
        ("subscription.yaml", "spec.subscriptions", spec("{subscriptions: [{name: audit, events: [whispers]}]}")),
        ("policy.yaml", "spec.deletionPolicy", spec("{deletionPolicy: Shred}")),
        ("class.yaml", "spec.className", spec("{className: golden}")),
        ("size.yaml", "spec.uploads", spec("{uploads: {maxBytes: plenty}}")),
        ("no-utf8.yaml", "", "\u{0}\u{1}".to_owned()),
    ]
}

/// What the status says of a wrong manifest: of its file, or of the room in it.
fn told<'a>(status: &'a Value, file: &str) -> Option<&'a Value> {
    let entries = status["files"].as_array()?.iter().chain(status["rooms"].as_array()?);
    entries.filter(|entry| entry["ready"] == false).find(|entry| {
        entry["file"].as_str().is_some_and(|name| name.ends_with(file)) || entry.to_string().contains(file)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_manifest_is_told_with_its_field_and_stops_no_other() {
    let rig = Rig::chat(1, &[GOOD]).await.unwrap();
    let anna = rig.member("anna", GOOD).await.unwrap();
    let kinds = kinds();
    assert!(kinds.len() >= 20);
    let mut wrong = Vec::new();
    for (file, words, text) in &kinds {
        // One at a time: several of them would claim one name.
        let path = rig.write_manifest(file, text).unwrap();
        if let Err(error) = is_told(&rig, file, words).await {
            wrong.push(format!("{file}: {error:#}"));
        }
        std::fs::remove_file(path).unwrap();
        rig.room_status(GOOD, SOON, |room| room["ready"] == true).await.unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} are told wrong:\n  {}", wrong.len(), kinds.len(), wrong.join("\n  "));
    rig.socket(0, &anna).await.unwrap().said(GOOD, "still open").await.unwrap();
    // It still listens: the next good file becomes a room.
    rig.write_room("team-a/later", &serde_json::json!({})).unwrap();
    rig.room_status("team-a/later", SOON, |room| room["ready"] == true).await.unwrap();
    rig.socket(0, &anna).await.unwrap().said(GOOD, "and still").await.unwrap();
}

async fn is_told(rig: &Rig, file: &str, words: &str) -> Result<()> {
    wait::until(SOON, "a complaint", async || {
        let status = rig.status().await?;
        let Some(entry) = told(&status, file) else { anyhow::bail!("the status is {status}") };
        let message = entry["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "no `{words}` in {entry}");
        ensure!(!message.is_empty() && !entry["reason"].as_str().unwrap_or_default().is_empty(), "{entry}");
        Ok(Some(()))
    })
    .await
}
