//! The one module that owns AMQP: supervised connections (publishing and consuming apart), publishes with confirms, stream consumers.
//! It never uses lapin's recovery: that consumes a stream again at its first argument and skips in silence what came meanwhile.

mod consumer;
mod link;
mod node;
mod publisher;
mod queue;
mod series;

pub(crate) use consumer::Consumer;
pub(crate) use queue::OwnQueue;

use contract::position::Epoch;
use lapin::uri::AMQPUri;
use link::Link;
use node::Node;
use publisher::Publisher;
use service::health::Check;
use service::shutdown::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// A consumer stands within this, or it did not come to be.
const CONSUME_LIMIT: Duration = Duration::from_secs(10);

/// Cheap to clone. Connects, and connects again, by itself; ends with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    publisher: Publisher,
    /// One per address, connected when first needed: in a cluster a stream is consumed only through a node that has a replica.
    nodes: Vec<Node>,
    /// A node refused a stream that exists: from now on ask on a channel that nobody else needs.
    clustered: AtomicBool,
}

/// One AMQP message for a log.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    /// Exchange, as `parlor.rooms`.
    pub(crate) exchange: &'static str,
    /// Routing key.
    pub(crate) key: String,
    /// Headers of a log's message; `None` elsewhere.
    pub(crate) log: Option<(Uuid, Epoch)>,
    /// Return it if no queue takes it.
    pub(crate) mandatory: bool,
    /// Body.
    pub(crate) body: Vec<u8>,
}

/// What became of a publish. Only `Refused` and `Returned` prove absence; nothing proves presence but reading it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Published {
    /// The broker has it.
    Confirmed,
    /// No queue took it.
    Returned,
    /// The broker says no; no proof of absence.
    Nacked,
    /// The connection broke or 5 s passed: unknown.
    Unknown,
    /// It never left this process.
    Refused,
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// At this offset, included.
    Offset(u64),
    /// At the first message that the stream still has.
    First,
    /// At the last chunk.
    Last,
}

/// Why a stream cannot be consumed, or not any longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConsumeError {
    /// No connection now.
    #[error("the broker is out of reach")]
    Unavailable,
    /// 404.
    #[error("the broker says that there is no such stream")]
    NotFound,
    /// The broker ended it: the stream was deleted, or its node went.
    #[error("the broker cancelled the consumer")]
    Cancelled,
    /// Channel or connection ended.
    #[error("the consumer's connection ended: {0}")]
    Ended(String),
}

impl Broker {
    /// Begins to connect; returns at once. Goes on during a drain: what is on its way then still needs it.
    pub(crate) fn start(urls: Vec<String>, check: Check, shutdown: &Shutdown) -> Self {
        let uris: Vec<AMQPUri> = urls.into_iter().filter_map(|url| parse(&url)).collect();
        let publisher = Publisher::new(Link::start("publish", uris.clone()));
        let nodes: Vec<Node> = uris.into_iter().map(|uri| Node::new("consume", uri)).collect();
        let broker = Self { inner: Arc::new(Inner { publisher, nodes, clustered: AtomicBool::new(false) }) };
        if let Some(node) = broker.inner.nodes.first() {
            node.connect();
        }
        tokio::spawn(watch_health(Arc::downgrade(&broker.inner), check, shutdown.token()));
        broker
    }

    /// Publishes once, never again by itself; answers within 5 s.
    pub(crate) async fn publish(&self, publication: Publication) -> Published {
        self.inner.publisher.publish(publication).await
    }

    /// Publishes a row of messages so that none overtakes another; answers within 10 s how many from the front were confirmed.
    pub(crate) async fn publish_in_order(&self, publications: Vec<Publication>) -> usize {
        self.inner.publisher.publish_in_order(publications).await
    }

    /// Attaches to a stream; returns at consume-ok, within 10 s. `prefetch` is in messages.
    pub(crate) async fn consume(&self, stream: &str, from: From, prefetch: u16) -> Result<Consumer, ConsumeError> {
        self.consume_how(stream, from, prefetch, false).await
    }

    /// The same for a consumer that soon goes again.
    pub(crate) async fn consume_once(&self, stream: &str, from: From, prefetch: u16) -> Result<Consumer, ConsumeError> {
        self.consume_how(stream, from, prefetch, true).await
    }

    async fn consume_how(
        &self,
        stream: &str,
        from: From,
        prefetch: u16,
        alone: bool,
    ) -> Result<Consumer, ConsumeError> {
        let mut failure = ConsumeError::Unavailable;
        for node in self.preferred() {
            match self.attach(node, stream, from, prefetch, alone).await {
                Ok(consumer) => return Ok(consumer),
                Err(node::Refusal::NoReplica) => {
                    self.inner.clustered.store(true, Ordering::Relaxed);
                    failure = ConsumeError::Ended("no node in reach has a replica".into());
                }
                Err(node::Refusal::Failed(ConsumeError::Unavailable)) => {}
                Err(node::Refusal::Failed(error)) => return Err(error),
            }
        }
        Err(failure)
    }

    /// Attaches through one certain node, below [`Broker::nodes`]: what is said of a stream's end is believed only if all say it.
    pub(crate) async fn consume_at(
        &self,
        node: usize,
        stream: &str,
        from: From,
        prefetch: u16,
    ) -> Result<Consumer, ConsumeError> {
        let Some(node) = self.inner.nodes.get(node) else { return Err(ConsumeError::Unavailable) };
        self.attach(node, stream, from, prefetch, true).await.map_err(|refusal| match refusal {
            node::Refusal::NoReplica => ConsumeError::Ended("the node has no replica".into()),
            node::Refusal::Failed(error) => error,
        })
    }

    /// How many messages one certain node says are in a stream: its statistics, some seconds old.
    pub(crate) async fn messages_at(&self, node: usize, stream: &str) -> Result<u32, ConsumeError> {
        let Some(node) = self.inner.nodes.get(node) else { return Err(ConsumeError::Unavailable) };
        timeout(CONSUME_LIMIT, node.messages(stream)).await.unwrap_or(Err(ConsumeError::Unavailable))
    }

    /// How many addresses there are.
    pub(crate) fn nodes(&self) -> usize {
        self.inner.nodes.len()
    }

    /// Whether it has been out of reach for longer than it takes to connect again.
    pub(crate) fn is_down(&self) -> bool {
        self.inner.publisher.is_down()
    }

    /// An exclusive queue of this process that takes what `keys` choose of `exchange`; it drops its oldest when it is full.
    pub(crate) async fn own_queue(&self, name: &str, exchange: &str, keys: &[&str]) -> Result<OwnQueue, ConsumeError> {
        let Some(node) = self.preferred().next() else { return Err(ConsumeError::Unavailable) };
        timeout(CONSUME_LIMIT, node.own_queue(name, exchange, keys)).await.unwrap_or(Err(ConsumeError::Unavailable))
    }

    async fn attach(
        &self,
        node: &Node,
        stream: &str,
        from: From,
        prefetch: u16,
        alone: bool,
    ) -> Result<Consumer, node::Refusal> {
        let how = node::How { ask_first: self.inner.clustered.load(Ordering::Relaxed), alone };
        timeout(CONSUME_LIMIT, node.attach(stream, from, prefetch, how))
            .await
            .unwrap_or(Err(node::Refusal::Failed(ConsumeError::Ended("no answer in time".into()))))
    }

    /// Connected nodes first.
    fn preferred(&self) -> impl Iterator<Item = &Node> {
        let (up, down): (Vec<&Node>, Vec<&Node>) = self.inner.nodes.iter().partition(|node| node.is_connected());
        up.into_iter().chain(down)
    }
}

fn parse(url: &str) -> Option<AMQPUri> {
    let mut uri: AMQPUri = url
        .parse()
        .inspect_err(|error| tracing::error!(error, "an address of the broker is no AMQP address and is left out"))
        .ok()?;
    // A peer that is gone without a word is noticed after twice this.
    uri.query.heartbeat.get_or_insert(10);
    uri.query.connection_timeout.get_or_insert(5_000);
    Some(uri)
}

async fn watch_health(inner: std::sync::Weak<Inner>, check: Check, ended: tokio_util::sync::CancellationToken) {
    while let Some(inner) = inner.upgrade() {
        if !inner.publisher.is_connected() {
            check.not_ready("no connection to the broker for publishing");
        } else if !inner.nodes.iter().any(Node::is_connected) {
            check.not_ready("no connection to the broker for reading");
        } else if inner.publisher.is_blocked() {
            check.not_ready("the broker takes no messages (alarm): it lacks memory or disk");
        } else {
            check.ready();
        }
        drop(inner);
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
