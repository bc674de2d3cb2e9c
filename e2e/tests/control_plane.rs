//! The control plane that tests of Kubernetes use: it checks, it acts, and nothing of it stays behind.

use std::time::Duration;

use e2e::kube::{ControlPlane, Extent};
use e2e::{signal, wait};

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_a_pod_that_waits_for_a_node() {
    let plane = ControlPlane::start(Extent::Controllers).await.unwrap();
    let version = plane.cli.kubectl(&["version", "--output=json"]).await.unwrap();
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["clientVersion"]["gitVersion"], version["serverVersion"]["gitVersion"]);
    plane.cli.kubectl(&["create", "namespace", "lab"]).await.unwrap();
    plane.cli.kubectl(&["create", "deployment", "web", "--image=example/web:1", "--namespace=lab"]).await.unwrap();
    wait::until(LIMIT, "a pod that has no node", async || {
        let pods = plane.get("/api/v1/namespaces/lab/pods").await?;
        let condition = &pods["items"][0]["status"]["conditions"][0];
        Ok((condition["type"] == "PodScheduled" && condition["reason"] == "Unschedulable").then_some(()))
    })
    .await
    .unwrap();
    // The controllers also take away: a namespace goes with all that is in it.
    plane.cli.kubectl(&["delete", "namespace", "lab", "--timeout=60s"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_value() {
    let plane = ControlPlane::start(Extent::Api).await.unwrap();
    let (pids, folder) = (plane.pids(), plane.cli.kubeconfig.clone().parent().unwrap().to_owned());
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| signal::lives(*pid)));
    drop(plane);
    assert!(!pids.iter().any(|pid| signal::lives(*pid)));
    assert!(!folder.exists());
}
