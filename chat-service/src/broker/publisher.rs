//! Publishes with confirms over a pool of channels. A channel carries one message at a time: lapin pairs a returned message with
//! whichever confirm comes next, so with two on their way the wrong one would be called returned; and an error ends only its own.

use super::link::{Link, Session};
use super::{Publication, Published};
use contract::names::{EPOCH_HEADER, ROOM_HEADER};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// A publish is over after this, whatever happened.
const LIMIT: Duration = Duration::from_secs(5);
/// So long a publish waits for a connection that is just being made again.
const CONNECTION_LIMIT: Duration = Duration::from_secs(1);
/// Messages on their way at once.
const MOST_CHANNELS: usize = 256;
const PERSISTENT: u8 = 2;

#[derive(Debug)]
pub(super) struct Publisher {
    link: Link,
    permits: Semaphore,
    /// Last in, first out, so that no more channels are used than needed.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    session: u64,
    channel: Channel,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        Self { link, permits: Semaphore::new(MOST_CHANNELS), idle: Mutex::default() }
    }

    pub(super) fn is_down(&self) -> bool {
        self.link.is_down()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.link.is_blocked()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.now().is_some()
    }

    /// Whatever is not put back into the pool (an error, a limit, a dropped future) is closed by being dropped.
    pub(super) async fn publish(&self, publication: Publication) -> Published {
        let now = Instant::now();
        let deadline = now + LIMIT;
        let Some(session) = self.link.by(now + CONNECTION_LIMIT).await else { return Published::Refused };
        let Ok(Ok(_permit)) = timeout_at(deadline, self.permits.acquire()).await else { return Published::Refused };
        let Ok(Some(channel)) = timeout_at(deadline, self.channel(&session)).await else { return Published::Refused };
        if !unblocked(&session, deadline).await || !channel.status().connected() {
            return Published::Refused;
        }
        // From here on it may be on its way.
        match timeout_at(deadline, hand_over(&channel, publication)).await {
            Ok(Some(published)) => {
                self.lock().push(Idle { session: session.number, channel });
                published
            }
            Ok(None) | Err(_) => Published::Unknown,
        }
    }

    /// A channel that nobody else uses now; whoever saw it fail does not give it back.
    pub(super) async fn borrow(&self, deadline: Instant) -> Option<(u64, Channel)> {
        let session = self.link.by(deadline.min(Instant::now() + CONNECTION_LIMIT)).await?;
        let channel = timeout_at(deadline, self.channel(&session)).await.ok()??;
        (unblocked(&session, deadline).await && channel.status().connected()).then_some((session.number, channel))
    }

    pub(super) fn give_back(&self, session: u64, channel: Channel) {
        self.lock().push(Idle { session, channel });
    }

    async fn channel(&self, session: &Arc<Session>) -> Option<Channel> {
        if let Some(channel) = self.take_idle(session.number) {
            return Some(channel);
        }
        let channel = session.connection.create_channel().await.ok()?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
        Some(channel)
    }

    fn take_idle(&self, session: u64) -> Option<Channel> {
        let mut idle = self.lock();
        while let Some(candidate) = idle.pop() {
            if candidate.session == session && candidate.channel.status().connected() {
                return Some(candidate.channel);
            }
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits while the broker has an alarm: it would not read what we write.
async fn unblocked(session: &Session, deadline: Instant) -> bool {
    while session.connection.status().blocked() {
        if Instant::now() >= deadline || !session.connection.status().connected() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// `None`: the channel is broken.
async fn hand_over(channel: &Channel, publication: Publication) -> Option<Published> {
    let properties = if publication.mandatory { persistent() } else { BasicProperties::default() };
    match send(channel, publication, properties).await.ok()?.await.ok()? {
        Confirmation::Ack(None) => Some(Published::Confirmed),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Some(Published::Returned),
        Confirmation::Nack(None) => Some(Published::Nacked),
        Confirmation::NotRequested => None,
    }
}

/// Survives the broker, where the queue does.
pub(super) fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(PERSISTENT)
}

/// Writes it; what it gives is the wait for the confirm.
pub(super) async fn send(
    channel: &Channel,
    publication: Publication,
    mut properties: BasicProperties,
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: publication.mandatory, ..BasicPublishOptions::default() };
    if let Some((room, epoch)) = &publication.log {
        let mut headers = FieldTable::default();
        headers.insert(ROOM_HEADER.into(), AMQPValue::LongString(room.to_string().into()));
        headers.insert(EPOCH_HEADER.into(), AMQPValue::LongString(epoch.as_str().into()));
        properties = properties.with_headers(headers);
    }
    let (exchange, key) = (publication.exchange.into(), publication.key.as_str().into());
    channel.basic_publish(exchange, key, options, &publication.body, properties).await
}
