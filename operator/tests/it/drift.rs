//! What is deleted or changed by hand in RabbitMQ.

use std::time::Duration;

use e2e::proxy::{Proxy, Request};
use serde_json::json;

use crate::util::{Flags, Operator, SOON, chat, keys, until};

const ROOM: &str = "team-a/general";
const SUBSCRIPTION: &str = "parlor.sub.team-a.general.audit";
/// Well below the interval between two looks at everything.
const WITHIN: Duration = Duration::from_secs(10);

fn spec() -> serde_json::Value {
    json!({"subscriptions": [{"name": "audit", "events": ["message", "edited"], "maxLength": 1000}]})
}

fn is_change(request: &Request) -> bool {
    request.method != "GET"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_by_hand_is_made_again_within_seconds_by_the_events() {
    let rig = chat().await;
    rig.write_room(ROOM, &spec()).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = Flags { management_url: &management, events: true, resync_seconds: 3600, chat: vec![] };
    let operator = Operator::start(&rig, flags).await;
    let ready = operator.ready(ROOM).await;
    let (epoch, stream) = (ready["epoch"].as_str().unwrap(), ready["stream"].as_str().unwrap());
    assert_eq!(keys(&rig, "parlor.rooms").await, [format!("room.team-a.general.{epoch}")]);
    assert_eq!(keys(&rig, "parlor.events").await, ["event.team-a.general.edited", "event.team-a.general.message"]);

    rig.vhost.delete(&rig.vhost.path("queues", SUBSCRIPTION)).await.unwrap();
    until("the subscription's queue and bindings are back", WITHIN, async || {
        rig.vhost.queues("parlor.sub.").await.unwrap() == [SUBSCRIPTION] && keys(&rig, "parlor.events").await.len() == 2
    })
    .await;

    let binding = format!("/api/bindings/{}/e/parlor.rooms/q/{stream}/room.team-a.general.{epoch}", rig.vhost.name);
    rig.vhost.delete(&binding).await.unwrap();
    until("the log is bound again", WITHIN, async || keys(&rig, "parlor.rooms").await.len() == 1).await;

    let policy = rig.vhost.path("policies", "parlor.log.standard");
    let other = json!({"pattern": "^x", "apply-to": "queues", "priority": 0, "definition": {"max-age": "1h"}});
    // What the operator set itself a moment ago would not be news to it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.vhost.put(&policy, &other).await.unwrap();
    until("the class's policy is as it was", WITHIN, async || {
        rig.vhost.get(&policy).await.unwrap().unwrap()["definition"]["max-age"] == "7D"
    })
    .await;

    rig.vhost.delete(&rig.vhost.path("exchanges", "parlor.rooms")).await.unwrap();
    until("the exchange and its binding are back", WITHIN, async || {
        rig.vhost.get(&rig.vhost.path("exchanges", "parlor.rooms")).await.unwrap().is_some()
            && keys(&rig, "parlor.rooms").await.len() == 1
    })
    .await;
    assert_eq!(operator.ready(ROOM).await["epoch"], epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_events_the_next_look_repairs_and_a_look_without_drift_changes_nothing() {
    let rig = chat().await;
    rig.write_room(ROOM, &spec()).unwrap();
    rig.write_room("team-b/other", &json!({})).unwrap();
    let proxy = Proxy::http(&rig.vhost.management_url).await.unwrap();
    let management = proxy.url(&rig.vhost.management_url);
    let flags = Flags { management_url: &management, events: false, resync_seconds: 2, chat: vec![] };
    let operator = Operator::start(&rig, flags).await;
    operator.ready(ROOM).await;
    operator.ready("team-b/other").await;
    // Four exchanges, a policy; two logs, a subscription; four bindings.
    assert_eq!(proxy.requests(is_change).len(), 12);

    proxy.forget_requests();
    tokio::time::sleep(Duration::from_secs(7)).await;
    let (reads, changes) = (proxy.requests(|request| !is_change(request)), proxy.requests(is_change));
    assert_eq!(changes, [], "a look without drift");
    // Four lists each two seconds.
    assert!((3 * 4..=4 * 4).contains(&reads.len()), "{} reads: {reads:?}", reads.len());

    rig.vhost.delete(&rig.vhost.path("queues", SUBSCRIPTION)).await.unwrap();
    until("the subscription's queue is back", WITHIN, async || {
        !rig.vhost.queues("parlor.sub.").await.unwrap().is_empty()
    })
    .await;
    until("its bindings are back", WITHIN, async || keys(&rig, "parlor.events").await.len() == 2).await;
    // Its queue and two bindings, and nothing else.
    assert_eq!(proxy.requests(is_change).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_deleted_gets_another_name_and_orphans_are_reported_and_left_alone() {
    let rig = chat().await;
    rig.write_room(ROOM, &json!({})).unwrap();
    let management = rig.vhost.management_url.clone();
    let flags = Flags { management_url: &management, events: true, resync_seconds: 2, chat: vec![] };
    let operator = Operator::start(&rig, flags).await;
    let first = operator.ready(ROOM).await;
    assert!(first["epoch"].as_str().unwrap().starts_with("1-"));
    rig.vhost.delete(&rig.vhost.path("queues", first["stream"].as_str().unwrap())).await.unwrap();
    // A gateway that held something of it has at most 10 s to hand it over.
    let second = operator
        .room(ROOM, Duration::from_secs(40), |room| {
            room["ready"] == true && room["epoch"].as_str().is_some_and(|epoch| epoch.starts_with("2-"))
        })
        .await;
    let streams = rig.vhost.queues("parlor.log.").await.unwrap();
    assert_eq!(streams, [second["stream"].as_str().unwrap()], "the old name is never used again");

    let orphan = "parlor.log.standard.team-z.nobody.1-zzzzzz";
    let arguments = json!({"durable": true, "arguments": {"x-queue-type": "stream"}});
    rig.vhost.put(&rig.vhost.path("queues", orphan), &arguments).await.unwrap();
    assert!(operator.notice("OrphanLogs").await.contains(orphan));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(rig.vhost.queues("parlor.log.").await.unwrap().contains(&orphan.to_owned()));
    assert!((operator.metric("parlor_operator_orphan_logs ").await - 1.0).abs() < f64::EPSILON);

    let spy = rig.vhost.path("queues", "spy");
    rig.vhost.put(&spy, &json!({"durable": true})).await.unwrap();
    let bind = format!("/api/bindings/{}/e/parlor.rooms/q/spy", rig.vhost.name);
    rig.vhost.post(&bind, &json!({"routing_key": "#", "arguments": {}})).await.unwrap();
    assert!(operator.notice("ForeignBindings").await.contains("spy"));
    operator.room(ROOM, SOON, |room| room["ready"] == true).await;
}
