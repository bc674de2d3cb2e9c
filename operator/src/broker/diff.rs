//! Compares what is wanted with what is there, pure. Applying a difference and comparing again gives none.

use std::collections::BTreeSet;

use serde_json::Value;

use super::topology::{Arguments, Binding, Exchange, Policy, Queue, Topology};

/// A queue of a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WantedQueue {
    /// As it is to be.
    pub(crate) queue: Queue,
    /// False: it is in use, so its absence is a loss that declaring it again would only hide.
    pub(crate) may_declare: bool,
}

/// What one room wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RoomTopology {
    /// Logs and subscriptions.
    pub(crate) queues: Vec<WantedQueue>,
    /// Their bindings.
    pub(crate) bindings: BTreeSet<Binding>,
    /// Queues whose bindings from this exchange with keys that begin so are ours alone: others of them go.
    pub(crate) sole: Vec<Sole>,
}

/// Bindings that are ours alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sole {
    /// The exchange.
    pub(crate) source: String,
    /// The queue.
    pub(crate) queue: String,
    /// What the keys begin with.
    pub(crate) prefix: String,
}

/// What to do so that a room is as wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RoomDifference {
    /// Not there.
    pub(crate) declare: Vec<Queue>,
    /// Not there, or of a queue that is not there.
    pub(crate) bind: Vec<Binding>,
    /// Ours, but no longer wanted.
    pub(crate) unbind: Vec<Binding>,
    /// Not there, though in use.
    pub(crate) lost: Vec<String>,
    /// There, with other arguments.
    pub(crate) conflicts: Vec<Conflict>,
}

/// What the platform as a whole wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PlatformTopology {
    /// Exchanges.
    pub(crate) exchanges: Vec<Exchange>,
    /// Class policies.
    pub(crate) policies: Vec<Policy>,
}

/// What to do so that the platform is as wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PlatformDifference {
    /// Not there.
    pub(crate) declare: Vec<Exchange>,
    /// Not there, or different: a policy changes in place.
    pub(crate) set: Vec<Policy>,
    /// There, with other properties.
    pub(crate) conflicts: Vec<Conflict>,
}

/// Something that is there cannot become what is wanted without being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// `queue` or `exchange`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// Each argument: its name, what it is, what it was to be.
    pub(crate) arguments: Vec<(String, String, String)>,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} exists with other arguments:", self.kind, self.name)?;
        for (index, (name, found, wanted)) in self.arguments.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma} {name} is {found}, wanted {wanted}")?;
        }
        Ok(())
    }
}

/// What is to be done for a room.
pub(crate) fn room(wanted: &RoomTopology, found: &Topology) -> RoomDifference {
    let mut difference = RoomDifference::default();
    for WantedQueue { queue, may_declare } in &wanted.queues {
        match found.queues.get(&queue.name) {
            None if *may_declare => difference.declare.push(queue.clone()),
            None => difference.lost.push(queue.name.clone()),
            Some(there) => difference.conflicts.extend(queue_conflict(queue, there)),
        }
    }
    let lost = |binding: &&Binding| !difference.lost.contains(&binding.queue);
    difference.bind =
        wanted.bindings.iter().filter(lost).filter(|binding| !found.bindings.contains(binding)).cloned().collect();
    for sole in &wanted.sole {
        let ours = |binding: &&Binding| binding.source == sole.source && binding.key.starts_with(&sole.prefix);
        let unwanted = found.bindings_of(&sole.queue).filter(ours).filter(|binding| !wanted.bindings.contains(binding));
        difference.unbind.extend(unwanted.cloned());
    }
    difference
}

/// What is to be done for the platform.
pub(crate) fn platform(wanted: &PlatformTopology, found: &Topology) -> PlatformDifference {
    let mut difference = PlatformDifference::default();
    for exchange in &wanted.exchanges {
        match found.exchanges.get(&exchange.name) {
            None => difference.declare.push(exchange.clone()),
            Some(there) => difference.conflicts.extend(exchange_conflict(exchange, there)),
        }
    }
    for policy in &wanted.policies {
        if found.policies.get(&policy.name) != Some(policy) {
            difference.set.push(policy.clone());
        }
    }
    difference
}

/// In what `there` differs from what is wanted under the same name.
pub(crate) fn queue_conflict(wanted: &Queue, there: &Queue) -> Option<Conflict> {
    let mut arguments = differing(&wanted.arguments, &there.arguments);
    arguments.extend(property("durable", there.durable, wanted.durable));
    arguments.extend(property("auto_delete", there.auto_delete, wanted.auto_delete));
    (!arguments.is_empty()).then(|| Conflict { kind: "queue", name: wanted.name.clone(), arguments })
}

fn exchange_conflict(wanted: &Exchange, there: &Exchange) -> Option<Conflict> {
    let mut arguments = differing(&wanted.arguments, &there.arguments);
    if wanted.kind != there.kind {
        arguments.push(("type".to_owned(), there.kind.clone(), wanted.kind.clone()));
    }
    arguments.extend(property("durable", there.durable, wanted.durable));
    arguments.extend(property("auto_delete", there.auto_delete, wanted.auto_delete));
    arguments.extend(property("internal", there.internal, wanted.internal));
    (!arguments.is_empty()).then(|| Conflict { kind: "exchange", name: wanted.name.clone(), arguments })
}

fn property(name: &str, found: bool, wanted: bool) -> Option<(String, String, String)> {
    (found != wanted).then(|| (name.to_owned(), found.to_string(), wanted.to_string()))
}

fn differing(wanted: &Arguments, found: &Arguments) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let text = |value: Option<&Value>| match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name))
        .map(|name| (name.clone(), text(found.get(name)), text(wanted.get(name))))
        .collect()
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
