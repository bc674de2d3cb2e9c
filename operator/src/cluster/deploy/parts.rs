//! What became of the objects, pure: one condition for each part.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::DynamicObject;

use super::apply::Found;
use super::build::{GATEWAY, HISTORIAN, Kind, Object, Platform, USER_SERVICE};
use super::pods::Pod;
use crate::report::{Deployed, Part, Reason};

/// Checks of the programs, the conditions that they are told by, and why those are not so.
const STORES: [(&str, &str, Reason); 2] =
    [("postgres", "DatabaseReady", Reason::DatabaseUnreachable), ("redis", "CacheReady", Reason::CacheUnreachable)];

/// What is said of a platform whose objects were applied and whose pods were asked.
pub(super) fn deployed(
    platform: &Platform<'_>,
    objects: &[Object],
    found: &Found,
    pods: &[Pod],
    scaling: Part,
) -> Deployed {
    let programs = [("Gateways", GATEWAY), ("Historians", HISTORIAN), ("Users", USER_SERVICE)];
    let mut parts = vec![migration(objects, found), scaling];
    parts.extend(programs.map(|(kind, part)| {
        let name = format!("{}-{part}", platform.name.name());
        program(kind, found.get(&(Kind::Deployment, name)).and_then(parse::<Deployment>))
    }));
    parts.extend(STORES.map(|(check, kind, reason)| store(check, kind, reason, pods)));
    Deployed { parts, endpoint: Some(platform.endpoint()), version: version(&platform.chat.image) }
}

fn parse<T: serde::de::DeserializeOwned>(object: &DynamicObject) -> Option<T> {
    serde_json::from_value(serde_json::to_value(object).ok()?).ok()
}

/// The migrations of the image that is wanted, not of an earlier one.
fn migration(objects: &[Object], found: &Found) -> Part {
    let job = objects.iter().find(|object| object.kind == Kind::Job);
    let name = job.and_then(|job| job.value["metadata"]["name"].as_str()).unwrap_or_default();
    let status = found.get(&(Kind::Job, name.to_owned())).and_then(parse::<Job>).and_then(|job| job.status);
    let is = |kind: &str| {
        let conditions = status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
        conditions.clone().any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let kind = "Migrated";
    if is("Complete") {
        Part::ready(kind)
    } else if is("Failed") {
        let message =
            format!("Job {name} failed: `kubectl logs job/{name}` says why; when it is mended, delete the Job");
        Part::not_ready(kind, Reason::MigrationFailed, message)
    } else {
        Part::not_ready(kind, Reason::Migrating, format!("Job {name} has not ended yet; it waits for the database"))
    }
}

fn program(kind: &'static str, deployment: Option<Deployment>) -> Part {
    let generation = deployment.as_ref().and_then(|deployment| deployment.metadata.generation);
    let status = deployment.and_then(|deployment| deployment.status).unwrap_or_default();
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let available = status.available_replicas.unwrap_or(0);
    let seen = status.observed_generation == generation;
    if seen && available > 0 && available == all && updated == all {
        return Part::ready(kind);
    }
    let message = format!("{available} of {all} pods are available, {updated} are of the newest version");
    let reason = if available > 0 { Reason::RollingOut } else { Reason::NoneAvailable };
    Part::not_ready(kind, reason, message)
}

/// As the pods see it: a server that one of them cannot use is not ready.
fn store(check: &str, kind: &'static str, reason: Reason, pods: &[Pod]) -> Part {
    let mut answers = pods.iter().filter_map(|pod| Some((pod, pod.waiting.as_ref()?))).peekable();
    if answers.peek().is_none() {
        return Part::not_ready(kind, Reason::Pending, "no pod answers at its health port");
    }
    let fault = answers.find_map(|(pod, waiting)| Some((pod, waiting.iter().find(|waiting| waiting.name == check)?)));
    match fault {
        Some((pod, fault)) => Part::not_ready(kind, reason, format!("{}: {}", pod.name, fault.reason)),
        None => Part::ready(kind),
    }
}

/// The tag of an image, or the beginning of its digest.
fn version(image: &str) -> Option<String> {
    if let Some((_, digest)) = image.split_once('@') {
        return Some(digest.chars().take(19).collect());
    }
    let (_, tag) = image.rsplit_once(':')?;
    // A registry's port is no tag.
    (!tag.contains('/')).then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::deploy::pods::Waiting;
    use serde_json::json;

    fn status(status: &serde_json::Value) -> Part {
        let value = json!({"metadata": {"name": "p-gateway", "generation": 2}, "spec": {"selector": {}, "template": {}}, "status": status});
        program("Gateways", Some(serde_json::from_value(value).unwrap()))
    }

    #[test]
    fn a_program_is_there_when_all_its_pods_are_and_are_of_the_newest_version() {
        let all = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(status(&all), Part::ready("Gateways"));
        let with = |field: &str, value: i32| {
            let mut status = all.clone();
            status[field] = json!(value);
            super::tests::status(&status).reason
        };
        assert_eq!(with("observedGeneration", 1), Reason::RollingOut);
        assert_eq!(with("updatedReplicas", 1), Reason::RollingOut);
        assert_eq!(with("availableReplicas", 0), Reason::NoneAvailable);
        assert_eq!(program("Gateways", None).reason, Reason::NoneAvailable);
    }

    #[test]
    fn a_store_is_ready_when_no_pod_that_answers_waits_for_it() {
        let pod = |waiting: Option<&[(&str, &str)]>| {
            let waiting = waiting.map(|all| {
                all.iter().map(|(name, reason)| Waiting { name: (*name).into(), reason: (*reason).into() }).collect()
            });
            Pod {
                name: "users-1".into(),
                uid: "1".into(),
                part: USER_SERVICE,
                ends: false,
                cores: None,
                waiting,
                metrics: None,
            }
        };
        let of = |pods: &[Pod]| store("redis", "CacheReady", Reason::CacheUnreachable, pods);
        assert_eq!(of(&[pod(None), pod(Some(&[]))]), Part::ready("CacheReady"));
        assert_eq!(of(&[pod(Some(&[("postgres", "away")]))]), Part::ready("CacheReady"));
        let away = of(&[pod(Some(&[])), pod(Some(&[("redis", "Redis is away")]))]);
        assert_eq!(away, Part::not_ready("CacheReady", Reason::CacheUnreachable, "users-1: Redis is away"));
        assert_eq!(of(&[pod(None)]).reason, Reason::Pending);
    }

    #[test]
    fn a_version_is_the_tag_or_the_digest() {
        assert_eq!(version("registry.example:5000/parlor/chat-service:1.0.0").as_deref(), Some("1.0.0"));
        assert_eq!(version("registry.example:5000/parlor/chat-service"), None);
        assert_eq!(version("chat-service@sha256:0123456789abcdef").as_deref(), Some("sha256:0123456789ab"));
    }
}
