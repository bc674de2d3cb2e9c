//! Platforms: whose rooms are whose, and servers that Secrets name.

use e2e::kube::Extent;
use e2e::rig::Rig;
use serde_json::json;

use super::{Cluster, LIMIT, PLATFORM, condition};
use crate::util::{Operator, chat, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_platform_lacks_is_said_and_once_it_is_there_rooms_are_ready_and_counted() {
    let cluster = Cluster::new(Extent::Api).await;
    let operator = cluster.bare_operator().await;
    cluster.apply("general", &json!({})).await;
    let lost = cluster.await_ready("general", "False", "PlatformNotFound").await;
    assert_eq!(condition(&lost, "Stalled")["status"], "True");

    cluster.platform(&cluster.rig, "default", &cluster.rig.vhost.management_url).await;
    cluster.await_ready("general", "True", "Ready").await;
    let platform = cluster.await_platform("Ready", "True", "Ready").await;
    assert_eq!(platform["status"]["observedGeneration"], platform["metadata"]["generation"]);
    let counts = async || cluster.plane.get(PLATFORM).await.unwrap()["status"]["rooms"].clone();
    until("the count", LIMIT, async || counts().await == json!({"total": 1, "ready": 1, "stalled": 0})).await;

    // A Secret that goes ends nothing that works, also when a change of the spec makes the operator look for it.
    cluster.plane.cli.kubectl(&["delete", "secret", "mq"]).await.unwrap();
    let more = r#"[{"op": "add", "path": "/spec/rabbitmq/amqpUris/-", "value": "amqp://127.0.0.1:1"}]"#;
    cluster.plane.cli.kubectl(&["patch", "chatplatform", "parlor", "--type=json", "--patch", more]).await.unwrap();
    let told = async || operator.program.log().contains("what was read before holds");
    until("the warning", LIMIT, told).await;
    cluster.apply("second", &json!({})).await;
    cluster.await_ready("second", "True", "Ready").await;
    // An operator that starts without it says so, and settled rooms stay as they are.
    drop(operator);
    let _operator = cluster.bare_operator().await;
    let platform = cluster.await_platform("Ready", "False", "ConnectionsMissing").await;
    let message = condition(&platform, "Ready")["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "there is no Secret default/mq: make it");
    cluster.apply("third", &json!({})).await;
    cluster.await_ready("third", "Unknown", "ConnectionsMissing").await;
    cluster.await_ready("general", "True", "Ready").await;
    cluster.platform(&cluster.rig, "default", &cluster.rig.vhost.management_url).await;
    cluster.await_ready("third", "True", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_is_taken_from_the_secret_without_a_restart() {
    let cluster = Cluster::new(Extent::Api).await;
    let vhost = &cluster.rig.vhost;
    let user = format!("{}_operator", vhost.name);
    let password = async |password: &str| {
        let account = json!({"password": password, "tags": "administrator"});
        vhost.put(&format!("/api/users/{user}"), &account).await.unwrap();
        cluster.secret("default", "mq", &json!({"username": user, "password": password})).await;
    };
    password("first").await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    vhost.put(&format!("/api/permissions/{}/{user}", vhost.name), &all).await.unwrap();
    let url = vhost.management_url.parse::<reqwest::Url>().unwrap();
    let management_url = format!("http://{user}:first@{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let _operator = cluster.operator_through(&management_url).await;
    cluster.apply("one", &json!({})).await;
    cluster.await_ready("one", "True", "Ready").await;

    password("second, with / and @").await;
    cluster.apply("two", &json!({})).await;
    cluster.await_ready("two", "True", "Ready").await;
    cluster.await_platform("BrokerReachable", "True", "Reachable").await;
    vhost.delete(&format!("/api/users/{user}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_platform_has_its_rooms_and_one_that_goes_takes_nothing_with_it() {
    let cluster = Cluster::new(Extent::Api).await;
    let other = chat().await;
    let plane = &cluster.plane;
    plane.cli.kubectl(&["create", "namespace", "team-a"]).await.unwrap();
    cluster.platform(&cluster.rig, "default", &cluster.rig.vhost.management_url).await;
    cluster.platform(&other, "team-a", &other.vhost.management_url).await;
    let chat = [("default/parlor", &cluster.rig), ("team-a/parlor", &other)];
    let chat = chat.map(|(platform, rig)| (platform, rig.gateway(0).grpc.clone()));
    let _operator = Operator::start_in(&cluster.rig, plane, &chat).await;
    cluster.apply_in("team-a", "near", &json!({"platformRef": {"name": "parlor"}})).await;
    cluster.apply("far", &json!({})).await;
    cluster.await_ready("far", "True", "Ready").await;
    let near = cluster.await_ready_in("team-a", "near", "True", "Ready").await;
    let streams = async |rig: &Rig| rig.vhost.queues("parlor.log.").await.unwrap();
    assert_eq!(streams(&other).await, [near["status"]["stream"].as_str().unwrap()]);
    assert_eq!(streams(&cluster.rig).await.len(), 1);

    plane.cli.kubectl(&["delete", "chatplatform", "parlor", "--namespace=team-a"]).await.unwrap();
    cluster.await_ready_in("team-a", "near", "False", "PlatformNotFound").await;
    cluster.platform(&other, "team-a", &other.vhost.management_url).await;
    let back = cluster.await_ready_in("team-a", "near", "True", "Ready").await;
    assert_eq!(back["status"]["epoch"], near["status"]["epoch"]);
    assert_eq!(streams(&other).await.len(), 1);
}
