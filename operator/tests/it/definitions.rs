//! The definitions of both kinds at a real API server: what it takes and refuses, what it fills in, and what a person reads of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::kube::{ControlPlane, Extent};
use e2e::program::built;
use reqwest::Method;

const OBJECTS: &str = "/apis/parlor.dev/v1alpha1/namespaces/default";

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// An API server that knows both kinds.
async fn defined() -> ControlPlane {
    let plane = ControlPlane::start(Extent::Api).await.unwrap();
    plane.define(&repository().join("crds")).await.unwrap();
    plane
}

/// The manifests of a folder of the corpus, in order.
fn corpus(name: &str) -> Vec<PathBuf> {
    let folder = repository().join("operator/tests/manifests").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What `operator validate` says: whether the file is good, and its words.
fn validated(file: &Path) -> (bool, String) {
    let output = Command::new(built("operator").unwrap()).arg("validate").arg(file).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), words)
}

/// The same of the API server, which stores nothing. Not by way of kubectl, which keeps a field that stands there twice to itself.
async fn created(plane: &ControlPlane, file: &Path) -> (bool, String) {
    let text = std::fs::read_to_string(file).unwrap();
    let (mut taken, mut words) = (true, String::new());
    for document in text.split("\n---\n") {
        let kind = if document.contains("kind: ChatPlatform") { "chatplatforms" } else { "chatrooms" };
        let path = format!("{OBJECTS}/{kind}?dryRun=All&fieldValidation=Strict");
        let request = plane.request(Method::POST, &path).header("content-type", "application/yaml");
        let answer = request.body(document.to_owned()).send().await.unwrap();
        taken &= answer.status() == 201;
        words.push_str(&answer.text().await.unwrap());
    }
    (taken, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_and_the_api_server_agree_on_every_manifest_and_name_the_field() {
    let plane = defined().await;
    let mut wrong = String::new();
    let (good, bad) = (corpus("good"), corpus("bad"));
    assert!(good.len() >= 14 && bad.len() >= 60, "{} good, {} bad", good.len(), bad.len());
    for file in &good {
        for (who, (taken, words)) in [("operator", validated(file)), ("API server", created(&plane, file).await)] {
            if !taken {
                writeln!(wrong, "{}: the {who} refuses it: {words}", file.display()).unwrap();
            }
        }
    }
    for file in &bad {
        let text = std::fs::read_to_string(file).unwrap();
        let field = text.lines().next().and_then(|line| line.strip_prefix("# names ")).unwrap();
        for (who, (taken, words)) in [("operator", validated(file)), ("API server", created(&plane, file).await)] {
            if taken {
                writeln!(wrong, "{}: the {who} takes it", file.display()).unwrap();
            } else if !words.contains(field) {
                writeln!(wrong, "{}: the {who} does not name {field}: {words}", file.display()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{} complaints\n{wrong}", wrong.lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_needs_only_a_name_and_what_is_immutable_stays() {
    let plane = defined().await;
    let room = |spec: &str| {
        format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: general}}\nspec: {spec}\n")
    };
    let apply = async |spec: &str| plane.cli.kubectl_reading(&["apply", "--filename", "-"], &room(spec)).await;
    apply("{subscriptions: [{name: audit, events: [message]}]}").await.unwrap();
    let stored = plane.get(&format!("{OBJECTS}/chatrooms/general")).await.unwrap();
    let spec = &stored["spec"];
    assert_eq!(spec["className"], "standard");
    assert_eq!(spec["visibility"], "Public");
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(spec["limits"]["messageBytes"], 8192);
    assert_eq!(spec["uploads"]["maxBytes"], "25Mi");
    assert_eq!(spec["subscriptions"][0]["maxLength"], 100_000);
    // Every refusal says what to do instead.
    for (change, cure) in [
        ("{className: other}", "spec.className is immutable: a log cannot change its class; make a new room"),
        ("{platformRef: {name: other}}", "spec.platformRef is immutable: a room does not move; make a new room"),
        (
            "{subscriptions: [{name: audit, events: [message], maxLength: 5}]}",
            "limits of a subscription never change: add one under a new name",
        ),
    ] {
        let error = apply(change).await.unwrap_err().to_string();
        assert!(error.contains(cure), "{change}: {error}");
    }
    apply("{topic: what may change changes}").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kinds_of_wrong_rooms_are_refused_with_the_field_and_the_cure() {
    let plane = defined().await;
    for (spec, field, cure) in [
        ("{visibilty: Private}", "spec.visibilty", "unknown field"),
        ("{visibility: Secret}", "spec.visibility", r#"supported values: "Public", "Private""#),
        ("{displayName: 7}", "spec.displayName", "must be of type string"),
        ("{limits: {burst: 0}}", "spec.limits.burst", "should be greater than or equal to 1"),
        ("{topic: \"\\e[31mred\"}", "spec.topic", "take out control characters"),
        ("{retention: {messages: 5m}}", "spec.retention.messages", "as 36h, 7d or 52w"),
        ("{uploads: {maxBytes: 1K}}", "spec.uploads.maxBytes", "one with Ki, Mi, Gi or Ti, as 25Mi"),
        ("{uploads: {maxBytes: 6Gi}}", "spec.uploads.maxBytes", "is too much: write at most 5Gi"),
        ("{members: [{user: Alice}]}", "spec.members[0].user", "write a username: a-z, 0-9"),
        (
            "{limits: {maxMembers: 1}, members: [{user: alice}, {user: bob}]}",
            "spec.members",
            "names more people than spec.limits.maxMembers allows: raise that, or name fewer",
        ),
    ] {
        let room =
            format!("apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {{name: wrong}}\nspec: {spec}\n");
        let error = plane.cli.kubectl_reading(&["create", "--filename", "-"], &room).await.unwrap_err().to_string();
        assert!(error.contains(field) && error.contains(cure), "{spec}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_fits_80_columns_and_explain_is_the_manual() {
    let plane = defined().await;
    let room = "apiVersion: parlor.dev/v1alpha1\nkind: ChatRoom\nmetadata: {name: architecture-review-board}\n";
    plane.cli.kubectl_reading(&["apply", "--filename", "-"], room).await.unwrap();
    let condition = serde_json::json!({"type": "Ready", "status": "Unknown", "reason": "RoomsServiceUnreachable",
        "message": "chat-service does not answer", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let patch = serde_json::json!({"status": {"conditions": [condition]}}).to_string();
    let args =
        ["patch", "room", "architecture-review-board", "--subresource=status", "--type=merge", "--patch", &patch];
    plane.cli.kubectl(&args).await.unwrap();
    let table = plane.cli.kubectl(&["get", "rooms"]).await.unwrap();
    assert!(table.contains("architecture-review-board") && table.contains("RoomsServiceUnreachable"), "{table}");
    let widest = table.lines().map(|line| line.trim_end().len()).max().unwrap();
    assert!(widest <= 80, "{widest} columns:\n{table}");
    // The longest reasons and names are for `--output=wide` alone to cut.
    assert!(
        plane.cli.kubectl(&["get", "rooms", "--output=wide"]).await.unwrap().contains("chat-service does not answer")
    );
    for (kind, field) in [("chatroom", "<string> -required-"), ("chatplatform", "replicas")] {
        let manual = plane.cli.kubectl(&["explain", kind, "--recursive"]).await.unwrap();
        assert!(manual.contains(field), "{manual}");
    }
    let manual = plane.cli.kubectl(&["explain", "room.spec.retention.messages"]).await.unwrap();
    assert!(manual.contains("A number of hours (h), days (d) or weeks (w), as `52w`"), "{manual}");
}
