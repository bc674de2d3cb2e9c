//! An operator with the ServiceAccount and the roles that the chart gives it: they are enough, and no more than enough.

use e2e::kube::Extent;
use serde_json::{Value, json};

use super::{Cluster, LIMIT};
use crate::util::{Operator, until};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/parlor");
/// Where the release is; platforms are in `default`.
const NAMESPACE: &str = "parlor-system";

impl Cluster {
    /// The chart, and an operator as the account of its pods. These stay planned: there is no node.
    async fn installed(&self, more: &[&str]) -> Operator {
        let all = ["install", "parlor", CHART, "--namespace", NAMESPACE, "--create-namespace"];
        self.plane.cli.helm(&[&all, more].concat()).await.unwrap();
        let kubeconfig = self.plane.kubeconfig_of(NAMESPACE, "parlor-operator").await.unwrap();
        Operator::start_as(&self.rig, &kubeconfig, &[("default/parlor", self.rig.gateway(0).grpc.clone())]).await
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        self.plane.get(path).await.unwrap()["items"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_chart_are_enough_for_platforms_and_rooms_and_open_nothing_else() {
    let cluster = Cluster::new(Extent::Controllers).await;
    let operator = cluster.installed(&["--set", "platformNamespaces={default}"]).await;
    let ingress = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    cluster
        .deploy(|platform| {
            platform["spec"]["ingress"] = json!({"host": "chat.example.org"});
            let scaling = json!({"mode": "Fixed", "min": 3, "max": 3});
            platform["spec"]["chat"]["gateway"] = json!({"scaling": scaling});
        })
        .await;
    let expected = json!({"gateway": 3, "historian": 1, "users": 1, "migration": 1});
    until("the pods", LIMIT, async || cluster.numbers().await == expected).await;
    until("ready pods", LIMIT, async || {
        cluster.run_pods().await;
        let platform = cluster.plane.get(super::PLATFORM).await.unwrap();
        super::condition(&platform, "Ready")["status"] == "True"
    })
    .await;
    assert_eq!(cluster.list(ingress).await.len(), 1);
    // What is needed no more is deleted, and a room with its messages: the finalizer is put there and taken away.
    cluster.deploy(|_| {}).await;
    until("no Ingress", LIMIT, async || cluster.list(ingress).await.is_empty()).await;
    let deletable = json!({"deletionPolicy": "Delete"});
    cluster.apply("general", &deletable).await;
    let room = cluster.await_ready("general", "True", "Ready").await;
    assert_eq!(room["metadata"]["finalizers"].as_array().unwrap().len(), 1);
    cluster.delete("general").await;

    let may = async |question: &[&str]| {
        let account = format!("--as=system:serviceaccount:{NAMESPACE}:parlor-operator");
        let answer = cluster.plane.cli.kubectl(&[&["auth", "can-i", &account], question].concat()).await;
        answer.is_ok_and(|answer| answer.trim() == "yes")
    };
    assert!(may(&["get", "secrets", "--namespace=default"]).await);
    for refused in [
        ["list", "secrets", "--namespace=default"],
        ["delete", "secrets", "--namespace=default"],
        ["get", "secrets", "--namespace=kube-system"],
        ["get", "secrets", "--namespace=parlor-system"],
        ["create", "pods", "--namespace=default"],
        ["create", "pods/exec", "--namespace=default"],
        ["create", "rolebindings", "--namespace=default"],
        ["delete", "persistentvolumeclaims", "--namespace=default"],
        ["delete", "chatrooms", "--namespace=default"],
        ["create", "chatplatforms", "--namespace=default"],
        ["create", "deployments", "--namespace=kube-system"],
        ["get", "nodes", "--all-namespaces"],
    ] {
        assert!(!may(&refused).await, "it may {refused:?}");
    }
    let log = operator.program.log();
    assert!(!log.contains("orbidden"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_brings_its_own_servers_and_their_data_outlive_the_release() {
    let cluster = Cluster::new(Extent::Controllers).await;
    let demo = ["--set", "demo=true"];
    cluster.plane.cli.kubectl(&["create", "namespace", NAMESPACE]).await.unwrap();
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    cluster.plane.cli.kubectl(&["label", "namespace", NAMESPACE, restricted]).await.unwrap();
    let servers = async || {
        let pods = cluster.list("/api/v1/namespaces/parlor-system/pods").await;
        let names = pods.iter().map(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"].as_str().unwrap());
        let names: Vec<&str> = names.collect();
        ["rabbitmq", "postgres", "redis", "gateway", "historian", "users"].iter().all(|part| names.contains(part))
    };
    let kept = async || {
        let mut kept = Vec::new();
        for secret in ["parlor-demo", "parlor-keys"] {
            let secret = format!("/api/v1/namespaces/parlor-system/secrets/{secret}");
            kept.push(cluster.plane.get(&secret).await.unwrap()["data"].clone());
        }
        let claims = cluster.list("/api/v1/namespaces/parlor-system/persistentvolumeclaims").await;
        kept.extend(claims.iter().map(|claim| claim["metadata"]["uid"].clone()));
        kept
    };
    let operator = cluster.installed(&demo).await;
    until("the servers", LIMIT, servers).await;
    let before = kept().await;
    assert_eq!(before.len(), 5);

    drop(operator);
    cluster.plane.cli.helm(&["uninstall", "parlor", "--namespace", NAMESPACE]).await.unwrap();
    until("nothing that runs", LIMIT, async || {
        let pods = cluster.list("/api/v1/namespaces/parlor-system/pods").await;
        pods.is_empty() && cluster.list("/apis/apps/v1/namespaces/parlor-system/statefulsets").await.is_empty()
    })
    .await;
    assert_eq!(kept().await, before);
    let _operator = cluster.installed(&demo).await;
    until("the servers again", LIMIT, servers).await;
    assert_eq!(kept().await, before);
}
