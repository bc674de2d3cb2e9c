//! Rooms that go, and what stays.

use e2e::kube::Extent;
use serde_json::json;

use super::{Cluster, LIMIT};
use crate::util::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_room_goes_at_once_stays_readable_and_comes_back_with_its_log() {
    let cluster = Cluster::new(Extent::Api).await;
    let _operator = cluster.operator().await;
    cluster.apply("general", &json!({})).await;
    let first = cluster.await_ready("general", "True", "Ready").await;
    cluster.delete("general").await;
    until("the room is closed", LIMIT, async || cluster.is_open("general").await == Some(false)).await;
    cluster.apply("general", &json!({})).await;
    let back = cluster.await_ready("general", "True", "Ready").await;
    assert_eq!(back["status"]["epoch"], first["status"]["epoch"]);
    assert_ne!(back["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(cluster.is_open("general").await, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_deletes_room_and_queues_and_only_where_somebody_said_so() {
    let cluster = Cluster::new(Extent::Api).await;
    let operator = cluster.operator().await;
    let subscriptions = json!([{"name": "audit", "events": ["message"]}]);
    cluster.apply("doomed", &json!({"deletionPolicy": "Delete", "subscriptions": subscriptions})).await;
    let object = cluster.await_ready("doomed", "True", "Ready").await;
    assert_eq!(object["metadata"]["finalizers"], json!(["parlor.dev/room"]));
    // Another mind: nothing holds it any more; and back.
    cluster.apply("doomed", &json!({"deletionPolicy": "Retain"})).await;
    until("no finalizer", LIMIT, async || cluster.object("doomed").await["metadata"]["finalizers"].is_null()).await;
    cluster.apply("doomed", &json!({"deletionPolicy": "Delete", "subscriptions": subscriptions})).await;
    until("a finalizer", LIMIT, async || !cluster.object("doomed").await["metadata"]["finalizers"].is_null()).await;
    cluster.await_ready("doomed", "True", "Ready").await;
    cluster.delete("doomed").await;
    assert_eq!(cluster.is_open("doomed").await, None);
    // Gateways have queues of their own.
    for queues in ["parlor.log.", "parlor.sub."] {
        until(queues, LIMIT, async || cluster.rig.vhost.queues(queues).await.unwrap().is_empty()).await;
    }

    // One whose finalizer somebody took away was not seen being deleted: it is kept.
    cluster.apply("kept", &json!({"deletionPolicy": "Delete"})).await;
    cluster.await_ready("kept", "True", "Ready").await;
    drop(operator);
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    cluster.plane.cli.kubectl(&["patch", "room", "kept", "--type=merge", "--patch", patch]).await.unwrap();
    cluster.delete("kept").await;
    let _operator = cluster.operator().await;
    until("the room is closed", LIMIT, async || cluster.is_open("kept").await == Some(false)).await;
}
