//! How much two hundred rooms cost, and how little a restart over them.

use std::time::Duration;

use e2e::kube::Extent;
use e2e::proxy::{Proxy, Request};
use serde_json::json;

use super::{Cluster, LIMIT};
use crate::util::until;

const ROOMS: usize = 200;
/// Lists that one look at the broker asks for.
const LISTS: usize = 4;

/// Writes to ChatRooms that the API server answered so far, by its own count, the ones of this test included.
async fn writes(cluster: &Cluster) -> usize {
    let path = "/metrics";
    let text = cluster.plane.request(reqwest::Method::GET, path).send().await.unwrap().text().await.unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{") && line.contains(r#"resource="chatrooms""#));
    let lines =
        lines.filter(|line| !["GET", "LIST", "WATCH"].iter().any(|verb| line.contains(&format!(r#"verb="{verb}""#))));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

fn reads(proxy: &Proxy) -> usize {
    proxy.requests(|request| !is_change(request)).len()
}

fn is_change(request: &Request) -> bool {
    request.method != "GET"
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_rooms_cost_two_requests_and_two_writes_each_and_a_restart_none() {
    let cluster = Cluster::new(Extent::Api).await;
    let proxy = Proxy::http(&cluster.rig.vhost.management_url).await.unwrap();
    let management_url = proxy.url(&cluster.rig.vhost.management_url);
    let mut operator = cluster.operator_through(&management_url).await;
    let room = |number: usize| {
        let metadata = json!({"namespace": "default", "name": format!("r{number}")});
        json!({"apiVersion": "parlor.dev/v1alpha1", "kind": "ChatRoom", "metadata": metadata})
    };
    let all = json!({"apiVersion": "v1", "kind": "List", "items": (0..ROOMS).map(room).collect::<Vec<_>>()});
    cluster.plane.cli.kubectl_reading(&["create", "--filename", "-"], &all.to_string()).await.unwrap();
    cluster.plane.cli.kubectl(&["wait", "rooms", "--all", "--for=condition=Ready", "--timeout=300s"]).await.unwrap();
    // 200 of them are `create`'s own.
    let (changes, written) = (proxy.requests(is_change).len(), writes(&cluster).await);
    assert!(changes <= 2 * ROOMS + 20, "{changes} requests at the broker");
    assert!(written <= 3 * ROOMS, "{written} writes at the API server");

    assert!(operator.program.terminate(LIMIT).await.unwrap().success());
    proxy.forget_requests();
    let again = cluster.operator_through(&management_url).await;
    until("three looks at the broker", Duration::from_mins(5), async || reads(&proxy) >= 3 * LISTS).await;
    assert_eq!(again.ready("default/r7").await["reason"], "Ready");
    assert_eq!(proxy.requests(is_change), []);
    assert_eq!(writes(&cluster).await, written);
}
