//! More sockets, more gateways. The pod that measures is a real gateway; the others never start, as on a cluster that is full.

use std::time::Duration;

use e2e::kube::Extent;
use serde_json::json;

use super::{Cluster, LIMIT};
use crate::util::until;

/// A quarter of a minute of load asks for more pods, a third of a minute of none for fewer.
const SCALED: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn gateways_follow_the_open_sockets_between_their_bounds() {
    let cluster = Cluster::new(Extent::Controllers).await;
    let _operator = cluster.bare_operator().await;
    cluster
        .deploy(|platform| {
            let scaling = json!({"mode": "Auto", "min": 1, "max": 3, "socketsPerReplica": 2, "cpuPercent": 1000});
            platform["spec"]["chat"]["gateway"] = json!({"scaling": scaling});
            platform["spec"]["chat"]["historian"] = json!({"scaling": {"mode": "Fixed", "min": 1, "max": 1}});
        })
        .await;
    let gateways = async || cluster.numbers().await["gateway"].clone();
    until("one gateway", LIMIT, async || gateways().await == 1).await;
    let health = cluster.rig.gateway(0).health.clone();
    let _address = cluster.give_address("gateway", 8090, &health).await;
    cluster.run_pods().await;

    let mut sockets = Vec::new();
    for index in 0..9 {
        let person = cluster.rig.register(&format!("person-{index}")).await.unwrap();
        sockets.push(cluster.rig.socket(0, &person).await.unwrap());
    }
    until("as many gateways as may be", SCALED, async || gateways().await == 3).await;
    drop(sockets);
    until("one gateway again", SCALED, async || gateways().await == 1).await;
}
