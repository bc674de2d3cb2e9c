//! What a platform's pods say of themselves, asked at their own health ports: a Service would hide those that are not ready.

use std::time::Duration;

use contract::room::RoomName;
use futures::StreamExt;
use k8s_openapi::api::core::v1;
use kube::api::ListParams;
use kube::{Api, Client};
use reqwest::Url;
use serde::Deserialize;

use super::build::{self, CHAT_HEALTH, GATEWAY, HISTORIAN, USER_SERVICE, USERS_HEALTH};
use super::load::Metrics;

/// One pod has no more time to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// Pods asked at a time.
const PODS_MOST: usize = 32;

/// A pod that runs.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    /// Its name.
    pub(super) name: String,
    /// Another one when the pod is another one.
    pub(super) uid: String,
    /// Which program it is.
    pub(super) part: &'static str,
    /// It is told to stop: what it still carries, others carry soon.
    pub(super) ends: bool,
    /// Cores that it asked the cluster for.
    pub(super) cores: Option<f64>,
    /// What it waits for; `None`: it does not answer.
    pub(super) waiting: Option<Vec<Waiting>>,
    /// What it measures; `None`: it does not answer.
    pub(super) metrics: Option<Metrics>,
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
    /// What it can do without for a while. Older programs do not say it.
    #[serde(default)]
    without: Vec<Waiting>,
}

/// What pods are asked with: straight, and not for long.
pub(super) fn http() -> reqwest::Result<reqwest::Client> {
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
        let mut pods: Vec<(Pod, Url)> = self.api.list(&self.params).await?.items.iter().filter_map(started).collect();
        pods.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        let asking = pods.into_iter().map(|(pod, url)| self.one(pod, url));
        Ok(futures::stream::iter(asking).buffered(PODS_MOST).collect().await)
    }

    async fn one(&self, pod: Pod, url: Url) -> Pod {
        let (waiting, metrics) = tokio::join!(self.waiting(url.clone()), self.metrics(url));
        if let Some(error) = waiting.as_ref().err().or(metrics.as_ref().err()) {
            tracing::debug!(pod = pod.name, %error, "the pod does not answer");
        }
        Pod { waiting: waiting.ok(), metrics: metrics.ok(), ..pod }
    }

    async fn waiting(&self, mut url: Url) -> reqwest::Result<Vec<Waiting>> {
        url.set_path("/readyz");
        // Not ready is an answer too, with a status of its own.
        let Readiness { mut waiting, without } = self.http.get(url).send().await?.json().await?;
        waiting.extend(without);
        Ok(waiting)
    }

    async fn metrics(&self, mut url: Url) -> reqwest::Result<Metrics> {
        url.set_path("/metrics");
        let page = self.http.get(url).send().await?.error_for_status()?.text().await?;
        Ok(Metrics::parse(&page))
    }
}

/// With its address of health; `None` for what has not started, has ended, or is no program that goes on.
fn started(pod: &v1::Pod) -> Option<(Pod, Url)> {
    let status = pod.status.as_ref()?;
    let name = pod.metadata.labels.as_ref()?.get("app.kubernetes.io/name")?;
    let programs = [(GATEWAY, CHAT_HEALTH), (HISTORIAN, CHAT_HEALTH), (USER_SERVICE, USERS_HEALTH)];
    let (part, port) = programs.into_iter().find(|(part, _)| part == name)?;
    let ip = status.pod_ip.as_ref().filter(|_| status.phase.as_deref() == Some("Running"))?;
    // The colons of an IPv6 address would be read as a port.
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let url = Url::parse(&format!("http://{host}:{port}/")).ok()?;
    let pod = Pod {
        name: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone()?,
        part,
        ends: pod.metadata.deletion_timestamp.is_some(),
        cores: pod.spec.as_ref().and_then(cores),
        waiting: None,
        metrics: None,
    };
    Some((pod, url))
}

fn cores(spec: &v1::PodSpec) -> Option<f64> {
    let container = spec.containers.first()?;
    let requests = container.resources.as_ref()?.requests.as_ref()?;
    quantity(&requests.get("cpu")?.0)
}

/// A quantity of processors: `2`, `0.5`, `250m`. Other suffixes are for amounts that no pod has.
fn quantity(text: &str) -> Option<f64> {
    let (number, unit) = text.strip_suffix('m').map_or((text, 1.0), |number| (number, 1000.0));
    number.parse::<f64>().ok().map(|number| number / unit).filter(|cores| *cores > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_asks_for_is_read_as_kubernetes_writes_it() {
        assert_eq!(["250m", "2", "0.5"].map(quantity), [Some(0.25), Some(2.0), Some(0.5)]);
        assert_eq!(["", "x", "0", "1Gi"].map(quantity), [None; 4]);
    }

    #[test]
    fn a_pod_is_asked_where_its_program_has_its_health_and_only_while_it_runs() {
        let at = |part: &str, phase: &str, ip: &str| {
            let pod = json!({"metadata": {"name": "p", "uid": "u", "labels": {"app.kubernetes.io/name": part}}, "status": {"phase": phase, "podIP": ip}});
            started(&serde_json::from_value(pod).unwrap()).map(|(_, url)| url.to_string())
        };
        assert_eq!(at("gateway", "Running", "10.0.0.7").as_deref(), Some("http://10.0.0.7:8090/"));
        assert_eq!(at("users", "Running", "fd00::7").as_deref(), Some("http://[fd00::7]:8091/"));
        assert_eq!(at("gateway", "Pending", "10.0.0.7"), None);
        assert_eq!(at("migration", "Running", "10.0.0.7"), None);
    }
}
