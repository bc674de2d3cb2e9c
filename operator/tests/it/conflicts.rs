//! What exists with other arguments is reported with both values and never deleted to be made again.

use serde_json::json;

use crate::util::{Flags, Operator, SOON, chat, keys, until};

const ROOM: &str = "team-a/general";

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_subscription_never_change_and_one_that_leaves_the_manifest_stays() {
    let rig = chat().await;
    let spec = |subscriptions: serde_json::Value| json!({"subscriptions": subscriptions});
    rig.write_room(ROOM, &spec(json!([{"name": "audit", "events": ["message", "edited"], "maxLength": 100}]))).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = Flags { management_url: &management, events: true, resync_seconds: 2, chat: vec![] };
    let operator = Operator::start(&rig, flags).await;
    operator.ready(ROOM).await;
    // Types of events may change.
    rig.write_room(ROOM, &spec(json!([{"name": "audit", "events": ["message", "deleted"], "maxLength": 100}])))
        .unwrap();
    until("other bindings", SOON, async || {
        keys(&rig, "parlor.events").await == ["event.team-a.general.deleted", "event.team-a.general.message"]
    })
    .await;
    rig.write_room(ROOM, &spec(json!([{"name": "audit", "events": ["message", "deleted"], "maxLength": 200}])))
        .unwrap();
    let told = operator.room(ROOM, SOON, |room| room["reason"] == "ArgumentsConflict").await;
    assert_eq!(told["ready"], false);
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "queue parlor.sub.team-a.general.audit exists with other arguments: x-max-length is 100, wanted 200;"
        ),
        "{message}"
    );
    // The cure: another name. The old queue stays, with what is in it, and is told.
    rig.write_room(ROOM, &spec(json!([{"name": "audit-2", "events": ["message"], "maxLength": 200}]))).unwrap();
    let told = operator.room(ROOM, SOON, |room| room["reason"] == "SubscriptionDropped").await;
    assert_eq!(told["ready"], true);
    assert!(told["message"].as_str().unwrap().contains("parlor.sub.team-a.general.audit:"), "{told}");
    assert_eq!(rig.vhost.queues("parlor.sub.").await.unwrap().len(), 2);
    assert_eq!(keys(&rig, "parlor.events").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_other_arguments_is_replaced_only_by_the_annotation() {
    let rig = chat().await;
    rig.write_room(ROOM, &json!({})).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = || Flags { management_url: &management, events: false, resync_seconds: 2, chat: vec![] };
    let mut operator = Operator::start(&rig, flags()).await;
    let ready = operator.ready(ROOM).await;
    let (epoch, stream) = (ready["epoch"].as_str().unwrap().to_owned(), ready["stream"].as_str().unwrap().to_owned());
    // Somebody made another one under the same name while the operator was away.
    operator.program.kill().unwrap();
    rig.vhost.delete(&rig.vhost.path("queues", &stream)).await.unwrap();
    let other = json!({"durable": true, "arguments": {"x-queue-type": "stream", "x-max-age": "1h"}});
    rig.vhost.put(&rig.vhost.path("queues", &stream), &other).await.unwrap();
    let operator = Operator::start(&rig, flags()).await;
    let told = operator.room(ROOM, SOON, |room| room["reason"] == "ArgumentsConflict").await;
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("x-max-age is 1h, wanted absent")
            && message.contains("x-stream-max-segment-size-bytes is absent, wanted 16777216"),
        "{message}"
    );
    assert!(message.contains(&format!("parlor.dev/replace-log: {epoch}")), "{message}");
    let there = rig.vhost.get(&rig.vhost.path("queues", &stream)).await.unwrap().unwrap();
    assert_eq!(there["arguments"]["x-max-age"], "1h", "it was left alone");

    rig.replace_log(ROOM, &epoch).unwrap();
    operator
        .room(ROOM, std::time::Duration::from_secs(40), |room| {
            room["epoch"].as_str().is_some_and(|epoch| epoch.starts_with("2-")) && room["reason"] != "ArgumentsConflict"
        })
        .await;
    assert!(rig.vhost.get(&rig.vhost.path("queues", &stream)).await.unwrap().is_some(), "the old one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_does_not_change_and_one_that_is_not_there_is_told_with_those_that_are() {
    let rig = chat().await;
    rig.write_manifest(
        "platform.yaml",
        "apiVersion: parlor.dev/v1alpha1\nkind: ChatPlatform\nmetadata: {name: parlor}\nspec: {rooms: {maxPerNamespace: 2, classes: [{name: standard}, {name: big, maxAge: 30d}]}}\n",
    )
    .unwrap();
    rig.write_room(ROOM, &json!({"className": "big"})).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = Flags { management_url: &management, events: true, resync_seconds: 30, chat: vec![] };
    let operator = Operator::start(&rig, flags).await;
    assert!(operator.ready(ROOM).await["stream"].as_str().unwrap().starts_with("parlor.log.big.team-a.general.1-"));
    rig.write_room(ROOM, &json!({"className": "standard"})).unwrap();
    operator.room(ROOM, SOON, |room| room["reason"] == "ImmutableField" && room["ready"] == false).await;
    rig.write_room(ROOM, &json!({"className": "big"})).unwrap();
    operator.ready(ROOM).await;
    rig.write_room("team-a/second", &json!({"className": "golden"})).unwrap();
    let told = operator.room("team-a/second", SOON, |room| room["reason"] == "ClassNotFound").await;
    assert!(
        told["message"].as_str().unwrap().ends_with("there is no class `golden`: write one of big, standard"),
        "{told}"
    );
    rig.write_room("team-a/third", &json!({})).unwrap();
    operator.room("team-a/third", SOON, |room| room["reason"] == "QuotaExceeded").await;
    rig.write_room("team-b/first", &json!({"platformRef": {"name": "another"}})).unwrap();
    operator.room("team-b/first", SOON, |room| room["reason"] == "PlatformNotFound").await;
}
