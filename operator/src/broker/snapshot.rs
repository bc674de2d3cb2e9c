//! One look at the whole virtual host: four lists, read at the same time.

use std::collections::BTreeSet;

use contract::names;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::topology::{Binding, Exchange, Policy, Queue, Topology};
use super::{Broker, BrokerError, encode};

/// What every name of ours begins with.
const OURS: &str = "parlor.";

#[derive(Deserialize)]
struct ListedQueue {
    #[serde(flatten)]
    queue: Queue,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Deserialize)]
struct ListedBinding {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

impl Broker {
    /// Everything of ours in the virtual host.
    pub(crate) async fn snapshot(&self) -> Result<Topology, BrokerError> {
        // Without statistics: they are what makes these lists slow.
        let queues = "columns=name,durable,auto_delete,arguments,policy&disable_stats=true&enable_queue_totals=true";
        let (exchanges, queues, bindings, policies) = tokio::try_join!(
            self.list::<Exchange>("exchanges", "columns=name,type,durable,auto_delete,internal,arguments"),
            self.list::<ListedQueue>("queues", queues),
            self.list::<ListedBinding>("bindings", ""),
            self.list::<Policy>("policies", ""),
        )?;
        let mut found = Topology::default();
        for exchange in exchanges.into_iter().filter(|exchange| exchange.name.starts_with(OURS)) {
            found.exchanges.insert(exchange.name.clone(), exchange);
        }
        for ListedQueue { queue, policy } in queues.into_iter().filter(|listed| listed.queue.name.starts_with(OURS)) {
            if let Some(policy) = policy.filter(|policy| !policy.is_empty()) {
                found.applied.insert(queue.name.clone(), policy);
            }
            found.queues.insert(queue.name.clone(), queue);
        }
        for policy in policies.into_iter().filter(|policy| policy.name.starts_with(OURS)) {
            found.policies.insert(policy.name.clone(), policy);
        }
        sort_bindings(bindings, &mut found.bindings, &mut found.strange);
        Ok(found)
    }

    /// Virtual hosts that this user may see and that have the exchange of the event plugin, which is in one only.
    pub(crate) async fn vhosts_with_exchange(&self, name: &str) -> Result<Vec<String>, BrokerError> {
        let path =
            format!("/api/exchanges?page=1&page_size=100&name={}&use_regex=false&columns=name,vhost", encode(name));
        let found = self.get(&path).await?;
        let named = found["items"].as_array().into_iter().flatten().filter(|item| item["name"] == name);
        Ok(named.filter_map(|item| item["vhost"].as_str().map(str::to_owned)).collect())
    }

    /// How many nodes the cluster has, running or not; `None` where the user may not know.
    pub(crate) async fn nodes(&self) -> Result<Option<u32>, BrokerError> {
        match self.get("/api/nodes?columns=name").await {
            Ok(Value::Array(nodes)) => Ok(u32::try_from(nodes.len()).ok()),
            Ok(_) | Err(BrokerError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn sort_bindings(all: Vec<ListedBinding>, bindings: &mut BTreeSet<Binding>, strange: &mut BTreeSet<String>) {
    for found in all.into_iter().filter(|found| found.source.starts_with(OURS)) {
        if found.destination_type == "queue" && found.arguments.is_empty() {
            bindings.insert(Binding { source: found.source, queue: found.destination, key: found.routing_key });
        } else if found.source == names::ROOMS_EXCHANGE {
            strange.insert(format!("{} {} with {:?}", found.destination_type, found.destination, found.routing_key));
        }
    }
}
