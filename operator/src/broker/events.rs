//! What RabbitMQ says happened (`amq.rabbitmq.event`), as hints: a hint makes us look, never more. Without the event exchange, or
//! while its connection is away, changes by hand are seen at the next snapshot.

use std::sync::Arc;
use std::time::Duration;

use contract::names;
use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Consumer};
use service::retry::Backoff;
use service::shutdown::Shutdown;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use super::Broker;
use super::topology::Binding;

/// The exchange of the plugin.
const EXCHANGE: &str = "amq.rabbitmq.event";
/// What can undo what we made.
const KEYS: [&str; 5] = ["queue.deleted", "binding.deleted", "exchange.deleted", "policy.set", "policy.cleared"];
/// For each step of connecting.
const STEP: Duration = Duration::from_secs(10);
/// The plugin may be turned on later.
const WITHOUT_PLUGIN: Duration = Duration::from_mins(1);
/// Hints that wait for us; the broker drops the oldest beyond that, which the next snapshot makes up for.
const WAITING_MOST: i64 = 20_000;

/// Something that may have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// This queue was deleted.
    QueueDeleted(String),
    /// This binding was deleted.
    BindingDeleted(Binding),
    /// This policy was set or cleared.
    PolicyChanged(String),
    /// Look at everything: an exchange was deleted, or hints may have been missed.
    Look,
}

/// Where to listen, and for which virtual host.
#[derive(Clone)]
pub(crate) struct Listener {
    /// One at a time is listened to.
    uris: Arc<[AMQPUri]>,
    vhost: String,
    broker: Broker,
    /// Certificate authority as PEM.
    ca: Option<String>,
}

impl Listener {
    /// At one of the servers of `urls`, for what happens in `vhost`. The events are in a virtual host of their own, which `broker`
    /// tells. `ca`: certificate authority as PEM.
    pub(crate) fn new(urls: &[String], vhost: &str, broker: Broker, ca: Option<&str>) -> anyhow::Result<Self> {
        // The parser's own error would repeat the password.
        let parse = |url: &String| {
            let uri = url.parse();
            uri.map_err(|_| anyhow::anyhow!("RabbitMQ has no address as amqp://user:password@host:5672/%2f"))
        };
        let uris = urls.iter().map(parse).collect::<anyhow::Result<_>>()?;
        Ok(Self { uris, vhost: vhost.to_owned(), broker, ca: ca.map(str::to_owned) })
    }

    /// Listens until shutdown, connecting again after a failure.
    pub(crate) async fn run(self, hints: mpsc::Sender<Hint>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut said = None;
        for uri in self.uris.iter().cycle() {
            let outcome = tokio::select! {
                () = shutdown.begun() => return,
                outcome = self.listen(uri, &hints) => outcome,
            };
            let (why, wait) = match outcome {
                Ended::Lost(why) => {
                    backoff.reset();
                    said = None;
                    // Perhaps all of RabbitMQ is away: then that is to be said soon, and probed. A full queue has looks enough.
                    hints.try_send(Hint::Look).ok();
                    (why, backoff.next())
                }
                Ended::Failed(why) => (why, backoff.next()),
                Ended::NoPlugin => ("the event exchange is off".to_owned(), WITHOUT_PLUGIN),
            };
            // Said once, not at every attempt.
            if said.as_ref() != Some(&why) {
                tracing::warn!(why, "changes by hand in RabbitMQ are seen at the next snapshot only");
                said = Some(why);
            }
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn listen(&self, uri: &AMQPUri, hints: &mpsc::Sender<Hint>) -> Ended {
        let place = match self.broker.vhosts_with_exchange(EXCHANGE).await {
            Ok(places) => places.into_iter().next(),
            Err(error) => return Ended::Failed(error.to_string()),
        };
        let Some(place) = place else { return Ended::NoPlugin };
        let (connection, mut consumer) = match timeout(STEP, self.consume(uri, place)).await {
            Ok(Ok(consuming)) => consuming,
            Ok(Err(error)) => return Ended::Failed(error.to_string()),
            Err(_) => return Ended::Failed(format!("no answer within {} s", STEP.as_secs())),
        };
        tracing::info!("listening to RabbitMQ's events");
        // What happened before this was not heard.
        if hints.send(Hint::Look).await.is_err() {
            return Ended::Lost("stopping".to_owned());
        }
        while let Some(delivery) = consumer.next().await {
            let delivery = match delivery {
                Ok(delivery) => delivery,
                Err(error) => return Ended::Lost(error.to_string()),
            };
            let headers = delivery.properties.headers().clone().unwrap_or_default();
            let hint = hint(delivery.routing_key.as_str(), &headers, &self.vhost);
            if let Some(hint) = hint
                && hints.send(hint).await.is_err()
            {
                return Ended::Lost("stopping".to_owned());
            }
        }
        drop(connection);
        Ended::Lost("RabbitMQ ended the consumer".to_owned())
    }

    async fn consume(&self, uri: &AMQPUri, place: String) -> lapin::Result<(Connection, Consumer)> {
        let uri = AMQPUri { vhost: place, ..uri.clone() };
        let properties = ConnectionProperties::default().with_connection_name("parlor operator events".into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.ca.clone() };
        let runtime = lapin::runtime::default_runtime()?;
        let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
        let channel = connection.create_channel().await?;
        let name = format!("parlor.operator.{}", Uuid::new_v4().simple());
        // Exclusive: it goes with the connection, and nobody else can read it.
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let mut bounded = FieldTable::default();
        bounded.insert("x-max-length".into(), AMQPValue::LongLongInt(WAITING_MOST));
        channel.queue_declare(name.as_str().into(), options, bounded).await?;
        for key in KEYS {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(name.as_str().into(), EXCHANGE.into(), key.into(), options, FieldTable::default())
                .await?;
        }
        // Without acknowledgements: a hint that is lost on the way is made up for by a snapshot.
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await?;
        Ok((connection, consumer))
    }
}

enum Ended {
    /// It worked for a while.
    Lost(String),
    /// It did not come to work.
    Failed(String),
    /// There is no event exchange.
    NoPlugin,
}

/// What a message of the event exchange says about things of ours.
fn hint(event: &str, headers: &FieldTable, vhost: &str) -> Option<Hint> {
    let text = |name: &str| match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    };
    if text("vhost").as_deref() != Some(vhost) {
        return None;
    }
    match event {
        "queue.deleted" => text("name").filter(|name| is_ours(name)).map(Hint::QueueDeleted),
        "binding.deleted" if text("destination_kind").as_deref() == Some("queue") => {
            let binding =
                Binding { source: text("source_name")?, queue: text("destination_name")?, key: text("routing_key")? };
            is_ours(&binding.source).then_some(Hint::BindingDeleted(binding))
        }
        "exchange.deleted" => text("name").filter(|name| is_ours(name)).map(|_| Hint::Look),
        "policy.set" | "policy.cleared" => {
            text("name").filter(|name| name.starts_with(names::LOG_PREFIX)).map(Hint::PolicyChanged)
        }
        _ => None,
    }
}

fn is_ours(name: &str) -> bool {
    [names::LOG_PREFIX, names::SUBSCRIPTION_PREFIX].iter().any(|prefix| name.starts_with(prefix))
        || [names::ROOMS_EXCHANGE, names::EVENTS_EXCHANGE, names::LIVE_EXCHANGE, names::WORK_EXCHANGE].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in fields {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        table
    }

    #[test]
    fn only_what_is_ours_in_our_virtual_host_is_a_hint() {
        let log = "parlor.log.standard.a.b.1-abcdef";
        let deleted = headers(&[("vhost", "v"), ("name", log)]);
        assert_eq!(hint("queue.deleted", &deleted, "v"), Some(Hint::QueueDeleted(log.into())));
        assert_eq!(hint("queue.deleted", &deleted, "other"), None);
        assert_eq!(hint("queue.deleted", &headers(&[("vhost", "v"), ("name", "theirs")]), "v"), None);
        let binding = [
            ("vhost", "v"),
            ("source_name", "parlor.rooms"),
            ("destination_name", log),
            ("destination_kind", "queue"),
            ("routing_key", "room.a.b.1-abcdef"),
        ];
        let expected = Binding { source: "parlor.rooms".into(), queue: log.into(), key: "room.a.b.1-abcdef".into() };
        assert_eq!(hint("binding.deleted", &headers(&binding), "v"), Some(Hint::BindingDeleted(expected)));
        assert_eq!(
            hint("exchange.deleted", &headers(&[("vhost", "v"), ("name", "parlor.rooms")]), "v"),
            Some(Hint::Look)
        );
    }
}
