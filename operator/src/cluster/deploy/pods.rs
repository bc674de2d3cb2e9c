//! What a platform's pods say of themselves, asked at their own health ports: a Service would hide those that are not ready.

use std::time::Duration;

use contract::room::RoomName;
use futures::StreamExt;
use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::{Api, Client};
use reqwest::Url;
use serde::Deserialize;

use super::build::{self, CHAT_HEALTH, USER_SERVICE, USERS_HEALTH};

/// One pod has no more time to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Pods asked at a time.
const PODS_MOST: usize = 32;

/// A pod that runs.
#[derive(Debug)]
pub(super) struct Pod {
    /// Its name.
    pub(super) name: String,
    /// What it waits for; `None`: it does not answer.
    pub(super) waiting: Option<Vec<Waiting>>,
}

/// A part of a program that is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Waiting {
    /// Which part.
    pub(super) name: String,
    /// Why.
    pub(super) reason: String,
}

/// Asks pods.
pub(super) struct Asker {
    api: Api<v1::Pod>,
    params: ListParams,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Readiness {
    waiting: Vec<Waiting>,
}

/// What pods are asked with: straight, and not for long.
pub(crate) fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).build()
}

impl Asker {
    /// Asks nobody yet.
    pub(super) fn new(client: &Client, http: &reqwest::Client, platform: &RoomName) -> Self {
        Self {
            api: Api::namespaced(client.clone(), platform.namespace()),
            params: ListParams::default().labels(&build::selector(platform)),
            http: http.clone(),
        }
    }

    /// All pods of the platform's programs that have started, in the order of their names.
    pub(super) async fn ask(&self) -> kube::Result<Vec<Pod>> {
        let mut addresses: Vec<_> = self.api.list(&self.params).await?.items.iter().filter_map(address).collect();
        addresses.sort();
        let asking = addresses.into_iter().map(|(name, url)| self.one(name, url));
        Ok(futures::stream::iter(asking).buffered(PODS_MOST).collect().await)
    }

    async fn one(&self, name: String, url: Url) -> Pod {
        let waiting = self.readiness(url).await;
        if let Err(error) = &waiting {
            tracing::debug!(pod = name, %error, "the pod does not answer");
        }
        Pod { name, waiting: waiting.ok() }
    }

    async fn readiness(&self, mut url: Url) -> reqwest::Result<Vec<Waiting>> {
        url.set_path("/readyz");
        // Not ready is an answer too, with a status of its own.
        let readiness: Readiness = self.http.get(url).send().await?.json().await?;
        Ok(readiness.waiting)
    }
}

/// Name and address of health; `None` for what has not started, has ended, or is no program that goes on.
fn address(pod: &v1::Pod) -> Option<(String, Url)> {
    let status = pod.status.as_ref()?;
    let part = pod.metadata.labels.as_ref()?.get("app.kubernetes.io/name")?;
    let port = match part.as_str() {
        build::GATEWAY | build::HISTORIAN => CHAT_HEALTH,
        USER_SERVICE => USERS_HEALTH,
        _ => return None,
    };
    let ip = status.pod_ip.as_ref().filter(|_| status.phase.as_deref() == Some("Running"))?;
    // The colons of an IPv6 address would be read as a port.
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let url = Url::parse(&format!("http://{host}:{port}/")).ok()?;
    Some((pod.metadata.name.clone()?, url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_asked_where_its_program_has_its_health_and_only_while_it_runs() {
        let at = |part: &str, phase: &str, ip: &str| {
            let pod = json!({"metadata": {"name": "p", "labels": {"app.kubernetes.io/name": part}}, "status": {"phase": phase, "podIP": ip}});
            address(&serde_json::from_value(pod).unwrap()).map(|(_, url)| url.to_string())
        };
        assert_eq!(at("gateway", "Running", "10.0.0.7").as_deref(), Some("http://10.0.0.7:8090/"));
        assert_eq!(at("users", "Running", "fd00::7").as_deref(), Some("http://[fd00::7]:8091/"));
        assert_eq!(at("gateway", "Pending", "10.0.0.7"), None);
        assert_eq!(at("migration", "Running", "10.0.0.7"), None);
    }
}
