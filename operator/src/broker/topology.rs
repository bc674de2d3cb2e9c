//! What can be in a virtual host, as values: what we want and what a snapshot shows are the same types, so that they can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Arguments of an exchange or a queue, or a policy's definition.
pub(crate) type Arguments = Map<String, Value>;

/// An exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exchange {
    /// Its name, which stands in the address.
    #[serde(skip_serializing)]
    pub(crate) name: String,
    /// `topic`, …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Outlives the broker.
    pub(crate) durable: bool,
    /// Goes with its last binding.
    pub(crate) auto_delete: bool,
    /// Takes no publishes of clients.
    pub(crate) internal: bool,
    /// Free.
    pub(crate) arguments: Arguments,
}

/// A queue or stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    /// Its name, which stands in the address.
    #[serde(skip_serializing)]
    pub(crate) name: String,
    /// Outlives the broker.
    pub(crate) durable: bool,
    /// Goes with its last consumer.
    pub(crate) auto_delete: bool,
    /// Frozen at declaration.
    pub(crate) arguments: Arguments,
}

/// What is routed to a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    /// The exchange.
    pub(crate) source: String,
    /// The queue.
    pub(crate) queue: String,
    /// The routing key.
    pub(crate) key: String,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// Its name, which stands in the address.
    #[serde(skip_serializing)]
    pub(crate) name: String,
    /// Which queues.
    pub(crate) pattern: String,
    /// `queues`, …
    #[serde(rename = "apply-to")]
    pub(crate) apply_to: String,
    /// The highest one wins alone.
    pub(crate) priority: i64,
    /// What it sets.
    pub(crate) definition: Arguments,
}

/// A virtual host as it was seen or as it is to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Topology {
    /// By name.
    pub(crate) exchanges: BTreeMap<String, Exchange>,
    /// By name.
    pub(crate) queues: BTreeMap<String, Queue>,
    /// Without arguments, from exchanges to queues.
    pub(crate) bindings: BTreeSet<Binding>,
    /// By name.
    pub(crate) policies: BTreeMap<String, Policy>,
    /// The policy that the broker applies to each queue that has one.
    pub(crate) applied: BTreeMap<String, String>,
    /// Bindings of the logs' exchange that no log can have: to exchanges, or with arguments.
    pub(crate) strange: BTreeSet<String>,
}

impl Topology {
    /// A queue with everything that hangs on it is gone.
    pub(crate) fn remove_queue(&mut self, name: &str) -> bool {
        self.bindings.retain(|binding| binding.queue != name);
        self.applied.remove(name);
        self.queues.remove(name).is_some()
    }

    /// Bindings of a queue.
    pub(crate) fn bindings_of<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |binding| binding.queue == queue)
    }
}
