//! What a platform has in the cluster: its programs under the restricted standard, its credentials, and what is said of them.

use e2e::kube::Extent;
use e2e::proxy::Proxy;
use e2e::rig::Rig;
use serde_json::json;

use super::{Cluster, LIMIT, condition};
use crate::util::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_gets_its_programs_and_is_ready_when_they_are() {
    let cluster = Cluster::new(Extent::Controllers).await;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    cluster.plane.cli.kubectl(&["label", "namespace", "default", restricted]).await.unwrap();
    let operator = cluster.bare_operator().await;
    cluster.deploy(|_| {}).await;
    let expected = json!({"gateway": 2, "historian": 1, "users": 1, "migration": 1});
    until("the pods", LIMIT, async || cluster.numbers().await == expected).await;
    let waiting = cluster.await_platform("Ready", "False", "NoneAvailable").await;
    assert_eq!(condition(&waiting, "Migrated")["reason"], "Migrating");
    until("ready pods", LIMIT, async || {
        cluster.run_pods().await;
        let platform = cluster.plane.get(super::PLATFORM).await.unwrap();
        condition(&platform, "Ready")["status"] == "True"
    })
    .await;
    let platform = cluster.await_platform("Ready", "True", "Ready").await;
    assert_eq!(platform["status"]["endpoint"], "http://parlor-gateway.default.svc:8080");
    assert_eq!(platform["status"]["version"], "1.0.0");
    for kind in ["Migrated", "Gateways", "Historians", "Users", "BrokerReachable"] {
        assert_eq!(condition(&platform, kind)["status"], "True", "{kind}");
    }

    // Changed by hand: put right. Deleted: made again. Another's number of pods: not touched by that.
    let plane = &cluster.plane;
    plane
        .cli
        .kubectl(&[
            "patch",
            "service",
            "parlor-users",
            "--patch",
            r#"{"spec":{"selector":{"app.kubernetes.io/name":"other"}}}"#,
        ])
        .await
        .unwrap();
    plane.cli.kubectl(&["delete", "poddisruptionbudget", "parlor-gateway"]).await.unwrap();
    plane.cli.kubectl(&["scale", "deployment", "parlor-gateway", "--replicas=3"]).await.unwrap();
    until("the Service as it was", LIMIT, async || {
        let service = plane.get("/api/v1/namespaces/default/services/parlor-users").await.unwrap();
        service["spec"]["selector"]["app.kubernetes.io/name"] == "users"
    })
    .await;
    until("the budget", LIMIT, async || {
        plane.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/parlor-gateway").await.is_ok()
    })
    .await;
    until("three gateways", LIMIT, async || cluster.numbers().await["gateway"] == 3).await;

    // Another image migrates first and leaves nothing of the first Job.
    cluster.deploy(|platform| platform["spec"]["chat"]["image"] = json!("registry.example/chat-service:1.1.0")).await;
    cluster.await_platform("Migrated", "False", "Migrating").await;
    until("the new version", LIMIT, async || {
        cluster.run_pods().await;
        let platform = cluster.plane.get(super::PLATFORM).await.unwrap();
        platform["status"]["version"] == "1.1.0" && condition(&platform, "Ready")["status"] == "True"
    })
    .await;
    // What somebody else made of the number of pods is not undone by the apply of another image.
    let gateway = plane.get("/apis/apps/v1/namespaces/default/deployments/parlor-gateway").await.unwrap();
    assert_eq!(gateway["spec"]["replicas"], 3);
    let jobs = plane.get("/apis/batch/v1/namespaces/default/jobs").await.unwrap();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);

    // A platform that goes takes its programs with it, and neither keys nor what somebody else made.
    drop(operator);
    plane.cli.kubectl(&["delete", "chatplatform", "parlor"]).await.unwrap();
    until("no Deployment", LIMIT, async || {
        let all = plane.get("/apis/apps/v1/namespaces/default/deployments").await.unwrap();
        all["items"] == json!([])
    })
    .await;
    for kept in ["parlor-keys", "parlor-service-tokens", "stores"] {
        plane.get(&format!("/api/v1/namespaces/default/secrets/{kept}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_made_once_and_names_that_are_taken_are_left_alone() {
    let cluster = Cluster::new(Extent::Api).await;
    cluster.deploy(|_| {}).await;
    cluster.plane.cli.kubectl(&["delete", "secret", "parlor-service-tokens"]).await.unwrap();
    let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "parlor-users"},
        "spec": {"ports": [{"port": 80}]}});
    cluster.apply_object(&theirs).await;
    let operator = cluster.bare_operator().await;
    let refused = cluster.await_platform("Ready", "False", "ApplyFailed").await;
    let message = condition(&refused, "Ready")["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "Service parlor-users is there and not ours: remove it, or give the platform another name");
    let secret = async |name: &str| {
        let object = cluster.plane.get(&format!("/api/v1/namespaces/default/secrets/{name}")).await.unwrap();
        object["data"].clone()
    };
    let (keys, tokens) = (secret("parlor-keys").await, secret("parlor-service-tokens").await);
    assert_eq!(keys.as_object().unwrap().len(), 1);
    assert_eq!(tokens.as_object().unwrap().keys().collect::<Vec<_>>(), ["chat", "operator"]);
    // Another operator finds them and makes no others.
    drop(operator);
    let _operator = cluster.bare_operator().await;
    cluster.plane.cli.kubectl(&["delete", "service", "parlor-users"]).await.unwrap();
    until("the Service", LIMIT, async || {
        let service = cluster.plane.get("/api/v1/namespaces/default/services/parlor-users").await;
        service.is_ok_and(|service| service["spec"]["ports"][0]["port"] == 8081)
    })
    .await;
    assert_eq!((secret("parlor-keys").await, secret("parlor-service-tokens").await), (keys, tokens));
}

#[tokio::test(flavor = "multi_thread")]
async fn database_and_cache_are_as_the_pods_say() {
    let mut rig = Rig::new().await.unwrap();
    let redis = Proxy::start(&rig.redis.url).await.unwrap();
    rig.redis.url = redis.url(&rig.redis.url);
    rig.start_users().await.unwrap();
    rig.start_gateway(&rig.wiring()).await.unwrap();
    let cluster = Cluster::over(Extent::Controllers, async { rig }).await;
    let _operator = cluster.bare_operator().await;
    cluster.deploy(|_| {}).await;
    until("the pods", LIMIT, async || cluster.numbers().await["users"] == 1).await;
    cluster.await_platform("DatabaseReady", "Unknown", "Pending").await;

    let health = cluster.rig.users.as_ref().unwrap().address.health.clone();
    let _address = cluster.give_address("users", 8091, &health).await;
    cluster.run_pods().await;
    cluster.await_platform("DatabaseReady", "True", "Ready").await;
    cluster.await_platform("CacheReady", "True", "Ready").await;
    redis.refuse(true);
    redis.cut_where(|_| true);
    let away = cluster.await_platform("CacheReady", "False", "CacheUnreachable").await;
    assert_eq!(condition(&away, "DatabaseReady")["status"], "True");
    redis.refuse(false);
    cluster.await_platform("CacheReady", "True", "Ready").await;
}
