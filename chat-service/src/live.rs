//! What gateways tell each other and may lose: hints over `parlor.live` to one exclusive queue per gateway.

use crate::broker::{Broker, ConsumeError, Publication, Published};
use contract::names::LIVE_EXCHANGE;
use contract::room::RoomName;
use serde::{Deserialize, Serialize};
use service::retry::Backoff;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

/// Hints that a slow receiver may be behind.
const RECEIVED: usize = 4096;
/// Hints that wait to be published: more are dropped.
const WAITING: usize = 1024;

/// Something that another gateway would find out by itself, later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub(crate) enum Hint {
    /// A person's list of rooms changed.
    RoomsChanged {
        /// Whose.
        user: Uuid,
        /// Which room.
        room: RoomName,
    },
    /// A room's row or log changed: look at it now. Grants that were cached for it are stale.
    RoomChanged {
        /// The room's id.
        room: Uuid,
    },
}

impl Hint {
    fn routing_key(&self) -> &'static str {
        match self {
            Self::RoomsChanged { .. } => "hint.rooms_changed",
            Self::RoomChanged { .. } => "hint.room_changed",
        }
    }
}

/// A hint, and who gave it: its own gateway heard it already.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    by: String,
    #[serde(flatten)]
    hint: Hint,
}

/// Cheap to clone; ends with its last clone.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    hints: broadcast::Sender<Hint>,
    outgoing: mpsc::Sender<Hint>,
}

impl Live {
    /// Consumes and publishes hints as long as the broker lets it.
    pub(crate) fn start(broker: &Broker, gateway: &str) -> Self {
        let (hints, _) = broadcast::channel(RECEIVED);
        let (outgoing, waiting) = mpsc::channel(WAITING);
        // A gateway that was restarted has another queue: the one before may still be there.
        let queue = format!("parlor.gateway.{gateway}.{}", Uuid::new_v4().simple());
        tokio::spawn(tell(broker.clone(), queue.clone(), waiting));
        tokio::spawn(listen(broker.clone(), queue, hints.clone(), outgoing.clone().downgrade()));
        Self { hints, outgoing }
    }

    /// Only tells: for a historian, which has nobody to tell here. `name` is no gateway's.
    pub(crate) fn telling(broker: &Broker, name: &str) -> Self {
        let (outgoing, waiting) = mpsc::channel(WAITING);
        tokio::spawn(tell(broker.clone(), name.to_owned(), waiting));
        Self { hints: broadcast::channel(1).0, outgoing }
    }

    /// Tells this gateway at once and the others soon; never waits, may be lost.
    pub(crate) fn hint(&self, hint: Hint) {
        if self.outgoing.try_send(hint.clone()).is_err() {
            metrics::counter!("parlor_live_hints_dropped_total").increment(1);
        }
        self.hints.send(hint).ok();
    }

    /// Hints of all gateways, this one included; a slow receiver loses the oldest.
    pub(crate) fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }
}

async fn tell(broker: Broker, by: String, mut waiting: mpsc::Receiver<Hint>) {
    while let Some(hint) = waiting.recv().await {
        let key = hint.routing_key().to_owned();
        let Ok(body) = serde_json::to_vec(&Told { by: by.clone(), hint }) else { continue };
        let publication = Publication { exchange: LIVE_EXCHANGE, key, log: None, mandatory: false, body };
        if broker.publish(publication).await != Published::Confirmed {
            metrics::counter!("parlor_live_hints_dropped_total").increment(1);
        }
    }
}

/// Hears the others. What came while it did not listen is lost: whoever depends on hints looks by itself as well.
async fn listen(broker: Broker, queue: String, hints: broadcast::Sender<Hint>, alive: mpsc::WeakSender<Hint>) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while alive.upgrade().is_some() {
        if let Err(error) = hear(&broker, &queue, &hints, &alive, &mut backoff).await {
            tracing::debug!(%error, "hints from other gateways do not come now");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn hear(
    broker: &Broker,
    queue: &str,
    hints: &broadcast::Sender<Hint>,
    alive: &mpsc::WeakSender<Hint>,
    backoff: &mut Backoff,
) -> Result<(), ConsumeError> {
    let mut own = broker.own_queue(queue, LIVE_EXCHANGE, &["hint.#"]).await?;
    backoff.reset();
    loop {
        let body = match tokio::time::timeout(Duration::from_secs(30), own.next()).await {
            Ok(body) => body?,
            Err(_) if alive.upgrade().is_some() => continue,
            Err(_) => return Ok(()),
        };
        match serde_json::from_slice::<Told>(&body) {
            Ok(told) if told.by == queue => {}
            Ok(told) => {
                hints.send(told.hint).ok();
            }
            // A later program's, perhaps.
            Err(error) => tracing::debug!(%error, "failed to read a hint"),
        }
    }
}
