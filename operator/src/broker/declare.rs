//! Single changes of the virtual host. Each may be repeated without harm. Nothing here is ever deleted to be made again.

use contract::names;
use serde::Deserialize;
use serde_json::{Value, json};

use super::topology::{Binding, Exchange, Policy, Queue};
use super::{Broker, BrokerError, encode};

impl Broker {
    /// Makes an exchange. The broker does not compare free arguments: whether it is ours must be read before.
    pub(crate) async fn declare_exchange(&self, exchange: &Exchange) -> Result<(), BrokerError> {
        let path = format!("/api/exchanges/{}/{}", self.vhost(), encode(&exchange.name));
        self.put(&path, &json(exchange)?).await
    }

    /// Makes a queue; `Conflict` where there is one with other arguments.
    pub(crate) async fn declare_queue(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.put(&self.queue_path(&queue.name), &json(queue)?).await
    }

    /// Binds a queue.
    pub(crate) async fn bind(&self, binding: &Binding) -> Result<(), BrokerError> {
        self.post(&self.binding_path(binding), &json!({"routing_key": binding.key, "arguments": {}})).await
    }

    /// Takes a binding away; one that is not there is away.
    pub(crate) async fn unbind(&self, binding: &Binding) -> Result<(), BrokerError> {
        // A binding without arguments is addressed by its key.
        self.delete(&format!("{}/{}", self.binding_path(binding), encode(&binding.key))).await
    }

    /// Sets a policy.
    pub(crate) async fn set_policy(&self, policy: &Policy) -> Result<(), BrokerError> {
        let path = format!("/api/policies/{}/{}", self.vhost(), encode(&policy.name));
        self.put(&path, &json(policy)?).await
    }

    /// Deletes a queue with all that is in it; one that is not there is deleted. Never `if-empty`: a full stream counts as empty.
    pub(crate) async fn delete_queue(&self, name: &str) -> Result<(), BrokerError> {
        self.delete(&self.queue_path(name)).await
    }

    /// One queue; `None` if it is not there.
    pub(crate) async fn queue(&self, name: &str) -> Result<Option<Queue>, BrokerError> {
        match self.get(&format!("{}?columns=name,durable,auto_delete,arguments", self.queue_path(name))).await {
            Ok(value) => {
                Queue::deserialize(value).map(Some).map_err(|error| BrokerError::Unreachable(error.to_string()))
            }
            Err(BrokerError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the virtual host, which only an administrator may; rights of the user in it come with it.
    pub(crate) async fn make_vhost(&self) -> Result<(), BrokerError> {
        self.put(&format!("/api/vhosts/{}", self.vhost()), &json!({"description": "Parlor"})).await
    }

    fn queue_path(&self, name: &str) -> String {
        format!("/api/queues/{}/{}", self.vhost(), encode(name))
    }

    fn binding_path(&self, binding: &Binding) -> String {
        let (source, queue) = (encode(&binding.source), encode(&binding.queue));
        format!("/api/bindings/{}/e/{source}/q/{queue}", self.vhost())
    }
}

/// Whether a queue's name is a log's.
pub(crate) fn is_log(name: &str) -> bool {
    name.starts_with(names::LOG_PREFIX)
}

fn json<T: serde::Serialize>(object: &T) -> Result<Value, BrokerError> {
    serde_json::to_value(object).map_err(|error| BrokerError::Unreachable(error.to_string()))
}
