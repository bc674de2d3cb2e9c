//! Platforms with programs. There is no node, so the tests play the kubelet: they say what became of pods.

use std::net::Ipv4Addr;

use e2e::proxy::Proxy;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Cluster, platform_object, without_user};

impl Cluster {
    /// The platform of `default` with programs.
    pub(super) async fn deploy(&self, change: impl FnOnce(&mut Value)) {
        self.platform(&self.rig, "default", &self.rig.vhost.management_url).await;
        let (amqp, user, password) = without_user(&self.rig.vhost.services_url);
        self.secret("default", "services", &json!({"username": user, "password": password})).await;
        let urls = json!({"postgres": self.rig.database.url, "redis": self.rig.redis.url});
        self.secret("default", "stores", &urls).await;
        let mut platform = platform_object(&self.rig, "default", &self.rig.vhost.management_url);
        let spec = &mut platform["spec"];
        spec["rabbitmq"]["amqpUris"] = json!([amqp]);
        spec["rabbitmq"]["servicesSecretRef"]["name"] = json!("services");
        for store in ["postgres", "redis"] {
            spec[store] = json!({"secretRef": {"name": "stores", "key": store}});
        }
        spec["chat"] = json!({"image": "registry.example/chat-service:1.0.0"});
        spec["users"] =
            json!({"image": "registry.example/user-service:1.0.0", "scaling": {"mode": "Fixed", "min": 1, "max": 1}});
        change(&mut platform);
        self.apply_object(&platform).await;
    }

    async fn pods(&self) -> Vec<Value> {
        let all = self.plane.get("/api/v1/namespaces/default/pods").await.unwrap();
        let alive = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        all["items"].as_array().unwrap().iter().filter(alive).cloned().collect()
    }

    /// How many pods each program has.
    pub(super) async fn numbers(&self) -> Value {
        let mut numbers = json!({});
        for pod in self.pods().await {
            let part = pod["metadata"]["labels"]["app.kubernetes.io/name"].as_str().unwrap().to_owned();
            numbers[&part] = json!(numbers[&part].as_u64().unwrap_or(0) + 1);
        }
        numbers
    }

    /// As the kubelet would say: the Job's pods ended well, all others are ready.
    pub(super) async fn run_pods(&self) {
        for pod in self.pods().await {
            let migrates = pod["metadata"]["labels"]["app.kubernetes.io/name"] == "migration";
            let (phase, ready) = if migrates { ("Succeeded", "False") } else { ("Running", "True") };
            let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"});
            self.set_pod(&pod, json!({"phase": phase, "conditions": [condition]})).await;
        }
    }

    /// Gives the first pod of a program the address at which `health` is reached, at this port.
    pub(super) async fn give_address(&self, part: &str, port: u16, health: &str) -> Proxy {
        let (ip, proxy) = loop {
            // Another test may have it.
            let ip = Ipv4Addr::new(127, rand::random_range(1..255), rand::random(), rand::random_range(1..255));
            if let Ok(proxy) = Proxy::at((ip, port), health).await {
                break (ip, proxy);
            }
        };
        let pods = self.pods().await;
        let pod = pods.iter().find(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] == part).unwrap();
        self.set_pod(pod, json!({"podIP": ip, "podIPs": [{"ip": ip}]})).await;
        proxy
    }

    async fn set_pod(&self, pod: &Value, status: Value) {
        let path = format!("/api/v1/namespaces/default/pods/{}/status", pod["metadata"]["name"].as_str().unwrap());
        let request = self.plane.request(Method::PATCH, &path).header("content-type", "application/merge-patch+json");
        let answer = request.body(json!({"status": status}).to_string()).send().await.unwrap();
        // One that went meanwhile needs no status.
        assert!(answer.status().is_success() || answer.status() == 404, "{}", answer.text().await.unwrap());
    }
}
