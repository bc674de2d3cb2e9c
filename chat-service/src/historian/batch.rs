//! Collects what all readers read and stores it, many logs in one transaction.

use super::reader::Source;
use crate::feed::Fed;
use crate::live::{Hint, Live};
use crate::log::delivery::Delivery;
use crate::store::append::{self, Losses, Outcome, Segment, Stored};
use serde::Deserialize;
use serde::de::IgnoredAny;
use service::retry::Backoff;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

/// About so many events in one transaction.
const MOST_EVENTS: usize = 2000;
/// And so many bytes.
const MOST_BYTES: usize = 2 << 20;
/// How long the first message of a batch waits for company.
const COLLECT: Duration = Duration::from_millis(5);
/// Read and not yet stored, over all logs; then the readers wait, and with them the streams.
const MOST_WAITING_BYTES: usize = 16 << 20;
const MOST_WAITING_ITEMS: usize = 8192;

/// One message of a log on its way to PostgreSQL.
#[derive(Debug)]
pub(super) struct Item {
    source: Arc<Source>,
    generation: u64,
    previous: i64,
    lost: Option<&'static str>,
    delivery: Delivery,
    events: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Item {
    /// `previous` is the offset of the message before, which has to be the stored one when this comes to be stored.
    pub(super) fn new(
        source: Arc<Source>,
        generation: u64,
        previous: i64,
        lost: Option<&'static str>,
        delivery: Delivery,
    ) -> Self {
        let events = count(&delivery.body);
        Self { source, generation, previous, lost, delivery, events, permit: None }
    }
}

/// Events in an envelope; a body that is none counts as one.
fn count(body: &[u8]) -> usize {
    #[derive(Deserialize)]
    struct Count {
        events: Vec<IgnoredAny>,
    }
    serde_json::from_slice::<Count>(body).map_or(1, |count| count.events.len().max(1))
}

/// The readers' end. Bounded: [`Reading::put`] waits.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    items: mpsc::Sender<Item>,
    bytes: Arc<Semaphore>,
    waiting: Arc<AtomicU64>,
    /// A log that was read here is over; another one may be open.
    pub(super) closed: Arc<Notify>,
}

impl Reading {
    /// False: nobody stores any more.
    pub(super) async fn put(&self, mut item: Item) -> bool {
        let bytes = item.delivery.body.len().clamp(1, MOST_WAITING_BYTES);
        let Ok(permit) = self.bytes.clone().acquire_many_owned(u32::try_from(bytes).unwrap_or(1)).await else {
            return false;
        };
        item.permit = Some(permit);
        let events = u64::try_from(item.events).unwrap_or(0);
        self.waiting.fetch_add(events, Ordering::Relaxed);
        self.items.send(item).await.is_ok()
    }
}

struct Batcher {
    pool: PgPool,
    items: mpsc::Receiver<Item>,
    /// Begins the next batch: it did not fit into the one before.
    carried: Option<Item>,
    waiting: Arc<AtomicU64>,
    closed: Arc<Notify>,
    fed: Fed,
    live: Live,
}

/// Starts the batcher; it ends, with everything stored, once the last [`Reading`] is dropped.
pub(super) fn start(pool: PgPool, fed: Fed, live: Live) -> (Reading, JoinHandle<()>) {
    let (sender, items) = mpsc::channel(MOST_WAITING_ITEMS);
    let (waiting, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let bytes = Arc::new(Semaphore::new(MOST_WAITING_BYTES));
    let reading = Reading { items: sender, bytes, waiting: waiting.clone(), closed: closed.clone() };
    // As with sockets: nothing behind is measured too.
    metrics::gauge!("parlor_historian_lag_events").increment(0.0);
    metrics::gauge!("parlor_historian_lag_seconds").increment(0.0);
    let batcher = Batcher { pool, items, carried: None, waiting, closed, fed, live };
    (reading, tokio::spawn(batcher.run()))
}

impl Batcher {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let batch = self.collect(first).await;
            self.store(batch).await;
        }
    }

    async fn next(&mut self) -> Option<Item> {
        match self.carried.take() {
            Some(item) => Some(item),
            None => self.items.recv().await,
        }
    }

    async fn collect(&mut self, first: Item) -> Batch {
        let until = tokio::time::Instant::now() + COLLECT;
        let mut batch = Batch::default();
        batch.add(first);
        while batch.events < MOST_EVENTS && batch.bytes < MOST_BYTES {
            match timeout_at(until, self.items.recv()).await {
                Ok(Some(item)) if batch.takes(&item) => batch.add(item),
                Ok(Some(item)) => {
                    self.carried = Some(item);
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        batch
    }

    /// Until it is stored: whatever stands in the way of PostgreSQL passes or is repaired, and the guard makes repetition
    /// harmless. Once nobody reads any more one failure is the end: what is in the log stays there for the next historian.
    async fn store(&self, batch: Batch) {
        let began = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let outcomes = loop {
            match append::store(&self.pool, &batch.segments, &batch.losses).await {
                Ok(outcomes) => break outcomes,
                Err(error) => tracing::warn!(%error, "failed to store events, trying again"),
            }
            metrics::counter!("parlor_historian_failures_total").increment(1);
            metrics::gauge!("parlor_historian_lag_seconds").set(began.elapsed().as_secs_f64());
            if self.items.is_closed() {
                return;
            }
            tokio::time::sleep(backoff.next()).await;
        };
        metrics::histogram!("parlor_historian_batch_seconds").record(began.elapsed().as_secs_f64());
        self.note_lag(&batch, &outcomes);
        for (outcome, (source, generation)) in outcomes.iter().zip(&batch.sources) {
            self.tell(outcome, source, *generation);
        }
    }

    /// How far behind: events that were read and are not stored yet, and the age of the oldest end of what was stored just now.
    fn note_lag(&self, batch: &Batch, outcomes: &[Outcome]) {
        let events = u64::try_from(batch.events).unwrap_or(0);
        let before = self.waiting.fetch_sub(events, Ordering::Relaxed);
        metrics::gauge!("parlor_historian_lag_events")
            .set(f64::from(u32::try_from(before.saturating_sub(events)).unwrap_or(u32::MAX)));
        let stored: usize = outcomes.iter().map(|outcome| outcome.events).sum();
        metrics::counter!("parlor_historian_stored_events_total").increment(u64::try_from(stored).unwrap_or(0));
        let times = outcomes.iter().filter_map(|outcome| outcome.last_time.as_deref());
        if let Some(oldest) = times.filter_map(|time| OffsetDateTime::parse(time, &Rfc3339).ok()).min() {
            let age = (OffsetDateTime::now_utc() - oldest).as_seconds_f64().max(0.0);
            metrics::gauge!("parlor_historian_lag_seconds").set(age);
        }
    }

    fn tell(&self, outcome: &Outcome, source: &Source, generation: u64) {
        if outcome.stored == Stored::Overtaken {
            source.overtake(generation);
        }
        if outcome.stored == Stored::Done {
            self.fed.stored(source.row.id);
        }
        if outcome.closed {
            source.stop.cancel();
            self.closed.notify_one();
            // Its gateways wait for the next log.
            self.live.hint(Hint::RoomChanged { room: source.row.room.id });
        }
    }
}

/// Messages of many logs, each log's in one segment.
#[derive(Default)]
struct Batch {
    segments: Vec<Segment>,
    sources: Vec<(Arc<Source>, u64)>,
    losses: Losses,
    by_log: HashMap<i64, usize>,
    events: usize,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    /// Not where events are lost between what the batch holds of the log and this one: a loss can only stand at a segment's beginning.
    fn takes(&self, item: &Item) -> bool {
        item.lost.is_none() || !self.by_log.contains_key(&item.source.row.id)
    }

    fn add(&mut self, item: Item) {
        self.events += item.events;
        self.bytes += item.delivery.body.len();
        self.permits.extend(item.permit);
        let row = &item.source.row;
        let at = *self.by_log.entry(row.id).or_insert_with(|| {
            self.segments.push(Segment {
                log: row.id,
                room: row.room.clone(),
                epoch: row.epoch.clone(),
                old_off: item.previous,
                deliveries: Vec::new(),
            });
            self.sources.push((item.source.clone(), item.generation));
            self.segments.len() - 1
        });
        let segment = &mut self.segments[at];
        let follows = segment.deliveries.last().map_or(segment.old_off, end);
        // Its reader began anew from the row, so what came before was overtaken.
        if follows != item.previous {
            segment.deliveries.clear();
            segment.old_off = item.previous;
            self.losses.remove(&row.id);
        }
        self.losses.extend(item.lost.map(|reason| (row.id, reason)));
        self.sources[at] = (item.source.clone(), item.generation);
        segment.deliveries.push(item.delivery);
    }
}

fn end(delivery: &Delivery) -> i64 {
    i64::try_from(delivery.offset).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
