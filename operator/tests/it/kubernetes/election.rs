//! Two operators, of which one acts.

use e2e::kube::Extent;
use serde_json::json;

use super::{Cluster, LIMIT};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_acts_and_the_other_takes_over_when_it_is_killed() {
    let cluster = Cluster::new(Extent::Api).await;
    let mut first = cluster.operator().await;
    cluster.apply("one", &json!({})).await;
    first.ready("default/one").await;
    let second = cluster.operator().await;
    let lease = async || {
        cluster.plane.get("/apis/coordination.k8s.io/v1/namespaces/default/leases/parlor-operator").await.unwrap()
    };
    assert_eq!(lease().await["spec"]["leaseTransitions"], 1);
    assert_eq!(second.status().await["rooms"], json!([]), "it does not act");
    first.program.kill().unwrap();
    second.ready("default/one").await;
    assert_eq!(lease().await["spec"]["leaseTransitions"], 2);
    cluster.apply("two", &json!({})).await;
    cluster.await_ready("two", "True", "Ready").await;

    // One that ends in good order lets go, and the next need not wait.
    let mut second = second;
    second.program.terminate(LIMIT).await.unwrap();
    let holder = lease().await["spec"]["holderIdentity"].clone();
    assert!(holder.is_null() || holder == "", "{holder}");
}
