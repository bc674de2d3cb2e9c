//! How many pods each program has: written to `/scale` alone, so that whoever else may write it there is not undone by an apply.

use contract::room::RoomName;
use futures::future::join_all;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::apply::Found;
use super::build::{GATEWAY, HISTORIAN, Kind, Platform, USER_SERVICE};
use crate::crd::scaling::Mode;
use crate::report::{Part, Reason};

/// Who decides about one program, and between which bounds.
struct Rule {
    part: &'static str,
    mode: Mode,
    min: u32,
    max: u32,
}

/// Brings every program's number of pods to what it is to be; gives what went wrong.
pub(super) async fn scale(client: &Client, platform: &Platform<'_>, found: &Found) -> Vec<String> {
    let due = rules(platform).into_iter().filter_map(|rule| {
        let name = format!("{}-{}", platform.name.name(), rule.part);
        let current = replicas(found.get(&(Kind::Deployment, name.clone()))?)?;
        Some((name, wanted(&rule, current)?))
    });
    let api = Api::namespaced_with(client.clone(), platform.name.namespace(), &Kind::Deployment.resource());
    let faults = join_all(due.map(|(name, wanted)| write(&api, platform.name, name, wanted))).await;
    faults.into_iter().flatten().collect()
}

async fn write(api: &Api<DynamicObject>, platform: &RoomName, name: String, replicas: u32) -> Option<String> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    match api.patch_scale(&name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            tracing::info!(%platform, name, replicas, "scaled");
            None
        }
        Err(error) => Some(format!("Deployment {name} cannot be scaled: {error}")),
    }
}

/// What is said of a way of scaling that this version does not have: the number of pods stays as it is.
pub(super) fn unbuilt(platform: &Platform<'_>) -> Option<Part> {
    let parts: Vec<&str> = rules(platform).iter().filter(|rule| rule.mode == Mode::Hpa).map(|rule| rule.part).collect();
    let message = "scaling.mode: HPA is for a part that this version does not have; write Auto, Fixed or External";
    let part = Part::not_ready("ScalingActive", Reason::NotBuilt, format!("{}: {message}", parts.join(", ")));
    (!parts.is_empty()).then_some(part)
}

fn rules(platform: &Platform<'_>) -> [Rule; 3] {
    let (gateway, historian) = (&platform.chat.gateway.scaling, &platform.chat.historian.scaling);
    let users = &platform.users.scaling;
    [
        Rule { part: GATEWAY, mode: gateway.mode, min: gateway.min, max: gateway.max },
        Rule { part: HISTORIAN, mode: historian.mode, min: historian.min, max: historian.max },
        Rule { part: USER_SERVICE, mode: users.mode, min: users.min, max: users.max },
    ]
}

fn replicas(deployment: &DynamicObject) -> Option<u32> {
    deployment.data["spec"]["replicas"].as_u64().and_then(|replicas| u32::try_from(replicas).ok())
}

/// `None`: it is well as it is, or somebody else decides.
fn wanted(rule: &Rule, current: u32) -> Option<u32> {
    let wanted = match rule.mode {
        Mode::Fixed => rule.min,
        Mode::Auto => current.clamp(rule.min, rule.max.max(rule.min)),
        Mode::Hpa | Mode::External => return None,
    };
    (wanted != current).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_what_others_decide_is_left_alone() {
        let rule = |mode| Rule { part: GATEWAY, mode, min: 2, max: 5 };
        assert_eq!([1, 3, 9].map(|current| wanted(&rule(Mode::Auto), current)), [Some(2), None, Some(5)]);
        assert_eq!([1, 2, 9].map(|current| wanted(&rule(Mode::Fixed), current)), [Some(2), None, Some(2)]);
        assert_eq!(wanted(&rule(Mode::External), 9), None);
    }
}
