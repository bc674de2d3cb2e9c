//! How many pods each program has: written to `/scale` alone, so that whoever else may write it there is not undone by an apply.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::room::RoomName;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use scaling::{Bounds, Scaler};
use serde_json::json;
use tokio::time::Instant;

use super::apply::Found;
use super::build::{GATEWAY, HISTORIAN, Kind, Platform, USER_SERVICE};
use super::load::{self, Meter};
use super::pods::Pod;
use crate::crd::scaling::Mode;
use crate::report::{Part, Reason};

/// A program whose load is not known for so long is told of: one that starts is not measured at once.
const BLIND: Duration = Duration::from_mins(1);
/// What is said of it.
const CONDITION: &str = "ScalingActive";

/// Decides and writes.
pub(super) struct Replicas {
    api: Api<DynamicObject>,
    platform: RoomName,
    start: Instant,
    meter: Meter,
    /// See [`Scaler::new`].
    down_window: Duration,
    programs: BTreeMap<&'static str, Memory>,
}

/// Of one program.
struct Memory {
    scaler: Scaler,
    /// Since when its load is not known.
    blind: Option<Duration>,
}

/// Who decides about one program, and between which bounds.
struct Rule {
    part: &'static str,
    mode: Mode,
    bounds: Bounds,
}

impl Replicas {
    /// Has decided nothing yet.
    pub(super) fn new(client: &Client, platform: &RoomName, down_window: Duration) -> Self {
        Self {
            api: Api::namespaced_with(client.clone(), platform.namespace(), &Kind::Deployment.resource()),
            platform: platform.clone(),
            start: Instant::now(),
            meter: Meter::default(),
            down_window,
            programs: BTreeMap::new(),
        }
    }

    /// Brings every program's number of pods to what it is to be; gives what went wrong, and what is to be said.
    pub(super) async fn scale(&mut self, platform: &Platform<'_>, found: &Found, pods: &[Pod]) -> (Vec<String>, Part) {
        let now = self.start.elapsed();
        self.meter.see(now, pods);
        let (mut faults, mut blind) = (Vec::new(), Vec::new());
        for rule in rules(platform) {
            let name = format!("{}-{}", self.platform.name(), rule.part);
            let Some(current) = found.get(&(Kind::Deployment, name.clone())).and_then(replicas) else { continue };
            let load = self.load(platform, &rule, pods, current);
            let memory = self.programs.entry(rule.part).or_insert_with(|| Memory::new(self.down_window));
            blind.extend(memory.look(now, &load).map(|why| format!("{}: {why}", rule.part)));
            if let Some(wanted) = memory.wanted(now, &rule, current, load.ok()) {
                faults.extend(self.write(&name, wanted).await.err());
            }
        }
        (faults, said(platform, &blind))
    }

    /// In pods. Without `Auto` nobody asks.
    fn load(&self, platform: &Platform<'_>, rule: &Rule, pods: &[Pod], current: u32) -> Result<f64, String> {
        if rule.mode != Mode::Auto {
            return Ok(0.0);
        }
        let pods: Vec<&Pod> = pods.iter().filter(|pod| pod.part == rule.part).collect();
        match rule.part {
            GATEWAY => self.meter.gateways(&pods, &platform.chat.gateway.scaling),
            HISTORIAN => load::historians(&pods, &platform.chat.historian.scaling, current),
            _ => self.meter.users(&pods, &platform.users.scaling),
        }
    }

    async fn write(&self, name: &str, replicas: u32) -> Result<(), String> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let written = self.api.patch_scale(name, &PatchParams::default(), &patch).await;
        written.map_err(|error| format!("Deployment {name} cannot be scaled: {error}"))?;
        tracing::info!(platform = %self.platform, name, replicas, "scaled");
        Ok(())
    }
}

impl Memory {
    fn new(down_window: Duration) -> Self {
        Self { scaler: Scaler::new(down_window), blind: None }
    }

    /// Why the load is not known, if that lasts.
    fn look(&mut self, now: Duration, load: &Result<f64, String>) -> Option<String> {
        let Err(why) = load else {
            self.blind = None;
            return None;
        };
        let since = *self.blind.get_or_insert(now);
        (now.saturating_sub(since) >= BLIND).then(|| why.clone())
    }

    /// `None`: it is well as it is, or somebody else decides.
    fn wanted(&mut self, now: Duration, rule: &Rule, current: u32, load: Option<f64>) -> Option<u32> {
        let wanted = match rule.mode {
            Mode::Fixed => rule.bounds.min,
            Mode::Auto => self.scaler.decide(now, rule.bounds, current, load),
            Mode::Hpa | Mode::External => return None,
        };
        (wanted != current).then_some(wanted)
    }
}

/// The condition: what is not built is said before what is not known.
fn said(platform: &Platform<'_>, blind: &[String]) -> Part {
    let unbuilt: Vec<&str> =
        rules(platform).iter().filter(|rule| rule.mode == Mode::Hpa).map(|rule| rule.part).collect();
    if !unbuilt.is_empty() {
        let message = "scaling.mode: HPA is for a part that this version does not have; write Auto, Fixed or External";
        return Part::not_ready(CONDITION, Reason::NotBuilt, format!("{}: {message}", unbuilt.join(", ")));
    }
    if blind.is_empty() {
        Part::ready(CONDITION)
    } else {
        Part::not_ready(CONDITION, Reason::Pending, blind.join("; "))
    }
}

fn rules(platform: &Platform<'_>) -> [Rule; 3] {
    let rule = |part, mode, min, max| Rule { part, mode, bounds: Bounds { min, max } };
    let (gateway, historian) = (&platform.chat.gateway.scaling, &platform.chat.historian.scaling);
    let users = &platform.users.scaling;
    [
        rule(GATEWAY, gateway.mode, gateway.min, gateway.max),
        rule(HISTORIAN, historian.mode, historian.min, historian.max),
        rule(USER_SERVICE, users.mode, users.min, users.max),
    ]
}

fn replicas(deployment: &DynamicObject) -> Option<u32> {
    deployment.data["spec"]["replicas"].as_u64().and_then(|replicas| u32::try_from(replicas).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_without_data_and_what_others_decide_is_left_alone() {
        let wanted = |mode, current| {
            let rule = Rule { part: GATEWAY, mode, bounds: Bounds { min: 2, max: 5 } };
            Memory::new(scaling::DOWN_WINDOW).wanted(Duration::ZERO, &rule, current, None)
        };
        assert_eq!([1, 3, 9].map(|current| wanted(Mode::Auto, current)), [Some(2), None, Some(5)]);
        assert_eq!([1, 2, 9].map(|current| wanted(Mode::Fixed, current)), [Some(2), None, Some(2)]);
        assert_eq!(wanted(Mode::External, 9), None);
    }

    #[test]
    fn a_load_that_is_not_known_is_told_of_once_that_lasts() {
        let mut memory = Memory::new(scaling::DOWN_WINDOW);
        let mut look =
            |second, load: Result<f64, &str>| memory.look(Duration::from_secs(second), &load.map_err(str::to_owned));
        assert_eq!(look(0, Err("a")), None);
        assert_eq!(look(59, Err("a")), None);
        assert_eq!(look(60, Err("b")).as_deref(), Some("b"));
        assert_eq!(look(70, Ok(1.0)), None);
        assert_eq!(look(80, Err("a")), None);
    }
}
