//! Rooms that come, change and are wrong.

use e2e::kube::Extent;
use e2e::proxy::Proxy;
use serde_json::json;

use super::{Cluster, LIMIT, condition};
use crate::util::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_ready_the_moment_one_can_send_and_a_restart_over_settled_rooms_writes_nothing() {
    let cluster = Cluster::new(Extent::Api).await;
    let mut operator = cluster.operator().await;
    cluster.apply("general", &json!({"topic": "first"})).await;
    cluster.plane.cli.kubectl(&["wait", "room/general", "--for=condition=Ready", "--timeout=60s"]).await.unwrap();
    let person = cluster.rig.member("anna", "default/general").await.unwrap();
    let sent = cluster.rig.http.post(format!("{}/v1/rooms/default/general/messages", cluster.rig.gateway(0).http));
    let sent = sent.bearer_auth(&person.access_token).json(&json!({"id": uuid::Uuid::now_v7(), "text": "hello"}));
    let answer = sent.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());

    let first = cluster.object("general").await;
    let epoch = first["status"]["epoch"].as_str().unwrap();
    assert_eq!(first["status"]["stream"], format!("parlor.log.standard.default.general.{epoch}"));
    assert!(first["metadata"]["finalizers"].is_null(), "nothing holds what is to be retained");

    // A change: another generation, the same log.
    cluster.apply("general", &json!({"topic": "second", "members": [{"user": "nobody-yet"}]})).await;
    let second = cluster.await_ready("general", "True", "MembersUnresolved").await;
    assert_eq!(
        (&second["status"]["epoch"], &second["status"]["membersPending"]),
        (&json!(epoch), &json!(["nobody-yet"]))
    );

    operator.program.kill().unwrap();
    let proxy = Proxy::http(&cluster.rig.vhost.management_url).await.unwrap();
    let again = cluster.operator_through(&proxy.url(&cluster.rig.vhost.management_url)).await;
    again.ready("default/general").await;
    // Each look at the broker asks for four lists.
    until("three looks at the broker", LIMIT, async || proxy.requests(|request| request.method == "GET").len() >= 12)
        .await;
    assert_eq!(proxy.requests(|request| request.method != "GET"), []);
    let third = cluster.object("general").await;
    assert_eq!(third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_at_the_object_and_holds_up_no_other() {
    let cluster = Cluster::new(Extent::Api).await;
    let operator = cluster.operator().await;
    cluster.apply("odd", &json!({"className": "none-such"})).await;
    cluster.apply("even", &json!({})).await;
    cluster.await_ready("even", "True", "Ready").await;
    let odd = cluster.await_ready("odd", "False", "ClassNotFound").await;
    assert_eq!(condition(&odd, "Stalled")["status"], "True");
    let message = condition(&odd, "Ready")["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "spec.className: there is no class `none-such`: write one of standard");
    // Deleting it is held up by nothing.
    cluster.delete("odd").await;
    assert!(operator.get("/status", "text/plain").await.contains("default/even"));
}
