//! Servers that are away, and what is said of rooms meanwhile.

use e2e::kube::Extent;
use e2e::proxy::Proxy;
use serde_json::json;

use super::{Cluster, LIMIT, condition};
use crate::util::{Operator, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_said_of_rooms_that_changed_and_a_namespace_goes_nevertheless() {
    let cluster = Cluster::new(Extent::Controllers).await;
    let proxy = Proxy::http(&cluster.rig.vhost.management_url).await.unwrap();
    let _operator = cluster.operator_through(&proxy.url(&cluster.rig.vhost.management_url)).await;
    cluster.plane.cli.kubectl(&["create", "namespace", "team-a"]).await.unwrap();
    cluster.apply_in("team-a", "doomed", &json!({"deletionPolicy": "Delete"})).await;
    cluster
        .plane
        .cli
        .kubectl(&["wait", "room/doomed", "--namespace=team-a", "--for=condition=Ready", "--timeout=60s"])
        .await
        .unwrap();
    cluster.apply("settled", &json!({})).await;
    cluster.apply("changed", &json!({})).await;
    let settled = cluster.await_ready("settled", "True", "Ready").await;
    cluster.await_ready("changed", "True", "Ready").await;

    proxy.refuse(true);
    proxy.cut_where(|_| true);
    cluster.apply("changed", &json!({"subscriptions": [{"name": "audit", "events": ["message"]}]})).await;
    let unknown = cluster.await_ready("changed", "Unknown", "BrokerUnreachable").await;
    assert_eq!(condition(&unknown, "Reconciling")["status"], "True");
    cluster.await_platform("BrokerReachable", "False", "BrokerUnreachable").await;
    cluster.plane.cli.kubectl(&["delete", "namespace", "team-a", "--timeout=60s"]).await.unwrap();

    proxy.refuse(false);
    let back = cluster.await_ready("changed", "True", "Ready").await;
    cluster.await_platform("BrokerReachable", "True", "Reachable").await;
    assert_eq!(back["status"]["epoch"], unknown["status"]["epoch"]);
    let now = cluster.object("settled").await;
    assert_eq!(now["metadata"]["resourceVersion"], settled["metadata"]["resourceVersion"], "it was never written");
    until("no queue of the deleted room", LIMIT, async || {
        cluster.rig.vhost.queues("parlor.log.standard.team-a.").await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_leaves_settled_rooms_ready_and_changes_wait_for_it() {
    let mut cluster = Cluster::new(Extent::Api).await;
    // Another gateway, whose database goes away under it.
    let database = Proxy::start(&cluster.rig.database.url).await.unwrap();
    let mut wiring = cluster.rig.wiring();
    wiring.database_url = database.url(&cluster.rig.database.url);
    let index = cluster.rig.start_gateway(&wiring).await.unwrap();
    cluster.platform(&cluster.rig, "default", &cluster.rig.vhost.management_url).await;
    let chat = [("default/parlor", cluster.rig.gateway(index).grpc.clone())];
    let _operator = Operator::start_in(&cluster.rig, &cluster.plane, &chat).await;
    cluster.apply("settled", &json!({})).await;
    let settled = cluster.await_ready("settled", "True", "Ready").await;

    database.refuse(true);
    database.cut_where(|_| true);
    cluster.apply("new", &json!({})).await;
    let new = cluster.await_ready("new", "Unknown", "RoomsServiceUnreachable").await;
    assert_eq!(condition(&new, "Reconciling")["status"], "True");
    database.refuse(false);
    cluster.await_ready("new", "True", "Ready").await;
    let now = cluster.object("settled").await;
    assert_eq!(now["metadata"]["resourceVersion"], settled["metadata"]["resourceVersion"], "it was never written");
}
