//! Consumers through one address of the broker: up to 64 on a channel, attached one at a time there, and never two of one stream, not
//! even one after the other. The broker tells a channel of new messages by stream, not by consumer: such a word that is meant for
//! the consumer before makes it deliver to the new one before its consume-ok, and lapin drops what comes before that (measured: one
//! in ten begins with a hole).

use super::consumer::Consumer;
use super::link::{Link, Session};
use super::queue::{self, OwnQueue};
use super::{ConsumeError, From};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Channel, Error, ErrorKind};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A channel costs the broker some processes, so consumers share; few enough that one channel's end is a small event.
const MOST_CONSUMERS: usize = 64;
/// Streams that a channel may have seen before it takes no more.
const MOST_STREAMS: usize = 1024;
/// Attaches take some milliseconds each and go one by one on a channel: so many channels do it side by side.
const MOST_ATTACHING: usize = 16;
/// Questions at once: each needs a channel, of which a connection has 2,047.
const MOST_ASKING: usize = 32;
/// So long an attach waits for a connection that is just being made.
const CONNECTION_LIMIT: Duration = Duration::from_secs(3);

/// One address of the broker.
#[derive(Debug)]
pub(super) struct Node {
    purpose: &'static str,
    uri: AMQPUri,
    link: OnceLock<Link>,
    shared: Arc<Mutex<Vec<Arc<Shared>>>>,
    /// Channels for questions: a wrong one ends the channel, and here that hurts nobody.
    asking: Mutex<Vec<(u64, Channel)>>,
    may_ask: Semaphore,
}

/// A channel with several consumers.
#[derive(Debug)]
pub(super) struct Shared {
    session: u64,
    pub(super) channel: Channel,
    consumers: AtomicUsize,
    /// Streams that were consumed on it once.
    streams: Mutex<HashSet<String>>,
    /// lapin loses deliveries of consumers that are made side by side on one channel.
    turn: tokio::sync::Mutex<()>,
}

/// A place on a shared channel; the last to leave closes it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    list: Arc<Mutex<Vec<Arc<Shared>>>>,
}

/// How to attach.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Ask by consuming, where a refusal hurts nobody.
    pub(super) ask_first: bool,
    /// On a channel of its own, for a consumer that soon goes again.
    pub(super) alone: bool,
}

/// Why this node did not do it.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The stream exists, but not here.
    NoReplica,
    Failed(ConsumeError),
}

impl Node {
    pub(super) fn new(purpose: &'static str, uri: AMQPUri) -> Self {
        Self {
            purpose,
            uri,
            link: OnceLock::new(),
            shared: Arc::default(),
            asking: Mutex::default(),
            may_ask: Semaphore::new(MOST_ASKING),
        }
    }

    /// Begins to connect, once.
    pub(super) fn connect(&self) -> &Link {
        self.link.get_or_init(|| Link::start(self.purpose, vec![self.uri.clone()]))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.get().is_some_and(|link| link.now().is_some())
    }

    async fn session(&self) -> Result<Arc<Session>, ConsumeError> {
        self.connect().by(Instant::now() + CONNECTION_LIMIT).await.ok_or(ConsumeError::Unavailable)
    }

    /// Attaches in a task of its own: an attach that was begun is finished, and cancelled again if nobody waits for it any longer.
    pub(super) async fn attach(&self, stream: &str, from: From, prefetch: u16, how: How) -> Result<Consumer, Refusal> {
        let session = self.session().await.map_err(Refusal::Failed)?;
        self.ask(&session, stream, from, how.ask_first).await?;
        let place = self.place(&session, stream, how.alone).await.map_err(Refusal::Failed)?;
        let stream = stream.to_owned();
        let attaching = tokio::spawn(async move { attach(place, &stream, from, prefetch).await });
        attaching.await.unwrap_or_else(|error| Err(Refusal::Failed(ConsumeError::Ended(error.to_string()))))
    }

    /// Asks for the stream where a 404 or a 406, which end the channel, take no consumers with them.
    async fn ask(&self, session: &Session, stream: &str, from: From, consume: bool) -> Result<(), Refusal> {
        let _permit = self.may_ask.acquire().await.map_err(|_| Refusal::Failed(ConsumeError::Unavailable))?;
        let channel = self.asking(session).await.map_err(|error| refusal(&error))?;
        declare_passively(&channel, stream).await.map_err(|error| refusal(&error))?;
        if consume {
            channel.basic_qos(1, BasicQosOptions::default()).await.map_err(|error| refusal(&error))?;
            let consumer = channel
                .basic_consume(stream.into(), "".into(), BasicConsumeOptions::default(), argument(from))
                .await
                .map_err(|error| refusal(&error))?;
            let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            cancelling.await.map_err(|error| refusal(&error))?;
            // What was delivered stays unacknowledged, so this channel is not used again.
            return Ok(());
        }
        lock(&self.asking).push((session.number, channel));
        Ok(())
    }

    pub(super) async fn messages(&self, stream: &str) -> Result<u32, ConsumeError> {
        let session = self.session().await?;
        let channel = self.asking(&session).await.map_err(|error| failed(&error))?;
        let queue = declare_passively(&channel, stream).await.map_err(|error| failed(&error))?;
        lock(&self.asking).push((session.number, channel));
        Ok(queue.message_count())
    }

    async fn asking(&self, session: &Session) -> lapin::Result<Channel> {
        let idle = {
            let mut asking = lock(&self.asking);
            asking.retain(|(of, channel)| *of == session.number && channel.status().connected());
            asking.pop()
        };
        match idle {
            Some((_, channel)) => Ok(channel),
            None => session.connection.create_channel().await,
        }
    }

    /// A place on a channel that is not full, best on one where nobody attaches just now.
    async fn place(&self, session: &Session, stream: &str, alone: bool) -> Result<Place, ConsumeError> {
        if let Some(place) = self.free_place(session.number, stream).filter(|_| !alone) {
            return Ok(place);
        }
        let channel = session.connection.create_channel().await.map_err(|error| failed(&error))?;
        let shared = Shared {
            session: session.number,
            channel,
            consumers: AtomicUsize::new(1),
            streams: Mutex::new(HashSet::from([stream.to_owned()])),
            turn: tokio::sync::Mutex::default(),
        };
        let shared = Arc::new(shared);
        if !alone {
            lock(&self.shared).push(shared.clone());
        }
        Ok(Place { shared, list: self.shared.clone() })
    }

    fn free_place(&self, session: u64, stream: &str) -> Option<Place> {
        let mut list = lock(&self.shared);
        list.retain(|shared| shared.session == session && shared.channel.status().connected());
        let room = |shared: &&Arc<Shared>| shared.has_room_for(stream);
        let at_rest = list.iter().filter(room).find(|shared| shared.turn.try_lock().is_ok());
        let any = || list.iter().filter(room).min_by_key(|shared| shared.consumers.load(Ordering::Relaxed));
        let chosen = match at_rest {
            Some(shared) => shared,
            None if list.iter().filter(room).count() < MOST_ATTACHING => return None,
            None => any()?,
        };
        chosen.consumers.fetch_add(1, Ordering::Relaxed);
        lock(&chosen.streams).insert(stream.to_owned());
        Some(Place { shared: chosen.clone(), list: self.shared.clone() })
    }

    pub(super) async fn own_queue(&self, name: &str, exchange: &str, keys: &[&str]) -> Result<OwnQueue, ConsumeError> {
        let session = self.session().await?;
        queue::declare(&session, name, exchange, keys).await.map_err(|error| failed(&error))
    }
}

impl Shared {
    fn has_room_for(&self, stream: &str) -> bool {
        let streams = lock(&self.streams);
        self.consumers.load(Ordering::Relaxed) < MOST_CONSUMERS
            && streams.len() < MOST_STREAMS
            && !streams.contains(stream)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut list = lock(&self.list);
        if self.shared.consumers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The channel closes with its last holder.
            list.retain(|shared| !Arc::ptr_eq(shared, &self.shared));
        }
    }
}

async fn attach(place: Place, stream: &str, from: From, prefetch: u16) -> Result<Consumer, Refusal> {
    let channel = place.shared.channel.clone();
    let turn = place.shared.turn.lock().await;
    let prefetch = prefetch.max(1);
    // Holds for the consumers that are made after it: each has its own.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(|error| refusal(&error))?;
    let consumer = channel
        .basic_consume(stream.into(), "".into(), BasicConsumeOptions::default(), argument(from))
        .await
        .map_err(|error| refusal(&error))?;
    drop(turn);
    Ok(Consumer::new(consumer, place, prefetch))
}

async fn declare_passively(channel: &Channel, stream: &str) -> lapin::Result<lapin::Queue> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(stream.into(), passive, FieldTable::default()).await
}

fn argument(from: From) -> FieldTable {
    let offset = match from {
        From::Offset(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
        From::First => AMQPValue::LongString("first".into()),
        From::Last => AMQPValue::LongString("last".into()),
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), offset);
    arguments
}

fn refusal(error: &Error) -> Refusal {
    match soft(error) {
        Some(AMQPSoftError::PRECONDITIONFAILED) => Refusal::NoReplica,
        _ => Refusal::Failed(failed(error)),
    }
}

fn failed(error: &Error) -> ConsumeError {
    match soft(error) {
        Some(AMQPSoftError::NOTFOUND) => ConsumeError::NotFound,
        _ => ConsumeError::Ended(error.to_string()),
    }
}

fn soft(error: &Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
