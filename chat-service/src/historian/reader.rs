//! Reads one log and hands its messages to the batcher, from where the row stands, through every broken connection.

use super::batch::{Item, Reading};
use crate::broker::Broker;
use crate::log::attach::{self, Anchor, Attached, Outcome};
use crate::log::delivery::Delivery;
use crate::store::logs::LogRow;
use crate::store::partitions;
use service::retry::Backoff;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Messages on their way per log: credit of the stream, and what waits here while PostgreSQL is slow.
const PREFETCH: u16 = 64;
/// An attach that takes longer than this looks for the reason of a silence, and no longer keeps others waiting.
const ATTACH_TURN: Duration = Duration::from_secs(8);
/// What a `gaps` row says about events that the stream no longer had: its head was cut off before it was read.
const TRUNCATED: &str = "log_truncated";

/// A log that is read here, as reader and batcher share it.
#[derive(Debug)]
pub(super) struct Source {
    /// Its row when the reader began.
    pub(super) row: LogRow,
    /// The last generation of the reader whose messages were stored by somebody else.
    overtaken: watch::Sender<u64>,
    /// Ends the reader: the log is over, or somebody else's.
    pub(super) stop: CancellationToken,
}

impl Source {
    /// A log to be read until `stop`.
    pub(super) fn new(row: LogRow, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { row, overtaken: watch::channel(0).0, stop })
    }

    /// What this generation of the reader read does not fit the row: it must begin again from there.
    pub(super) fn overtake(&self, generation: u64) {
        self.overtaken.send_if_modified(|last| {
            let newer = generation > *last;
            *last = (*last).max(generation);
            newer
        });
    }
}

/// What all readers share.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// To read the row again.
    pub(super) pool: PgPool,
    /// Where the streams are.
    pub(super) broker: Broker,
    /// Where messages go.
    pub(super) reading: Reading,
    /// How many may attach at the same time.
    pub(super) attaching: Arc<Semaphore>,
}

/// Why a reader must attach again.
enum Ended {
    /// From where it was: connection or stream trouble.
    Broken(String),
    /// From the row.
    Overtaken,
    /// Never again.
    Stopped,
}

/// One reader's place in its log.
struct Reader<'a> {
    source: &'a Arc<Source>,
    context: &'a Context,
    generation: u64,
    /// `None`: ask the row.
    anchor: Option<Anchor>,
}

/// Reads until the source stops or its log is no longer open.
pub(super) async fn run(source: Arc<Source>, context: Context) {
    let first = Anchor { off: source.row.off, crc: source.row.anchor };
    let mut reader = Reader { source: &source, context: &context, generation: 1, anchor: Some(first) };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        let before = reader.anchor;
        let ended = tokio::select! {
            ended = reader.follow() => ended,
            () = source.stop.cancelled() => return,
        };
        if reader.anchor != before {
            backoff.reset();
        }
        match ended {
            Ended::Stopped => return,
            Ended::Overtaken => {
                reader.generation += 1;
                reader.anchor = None;
                metrics::counter!("parlor_historian_overtaken_total").increment(1);
            }
            Ended::Broken(reason) => {
                tracing::warn!(stream = source.row.stream, reason, "failed to read a log, trying again");
            }
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = source.stop.cancelled() => return,
        }
    }
}

impl Reader<'_> {
    /// Attaches and hands over what comes, until something ends it.
    async fn follow(&mut self) -> Ended {
        let anchor = match self.place().await {
            Ok(Some(anchor)) => anchor,
            Ok(None) => return Ended::Stopped,
            Err(error) => return Ended::Broken(format!("failed to read the log's row: {error}")),
        };
        let mut overtaken = self.source.overtaken.subscribe();
        let generation = self.generation;
        tokio::select! {
            ended = self.hand_over(anchor) => ended,
            _ = overtaken.wait_for(|last| *last >= generation) => Ended::Overtaken,
        }
    }

    async fn place(&mut self) -> Result<Option<Anchor>, sqlx::Error> {
        if self.anchor.is_none() {
            let rows = partitions::open_rows(&self.context.pool, &[self.source.row.id]).await?;
            self.anchor = rows.first().map(|row| Anchor { off: row.off, crc: row.anchor });
        }
        Ok(self.anchor)
    }

    async fn hand_over(&mut self, anchor: Anchor) -> Ended {
        let (Attached { mut consumer, first: mut pending }, mut lost) = match self.attach(anchor).await {
            Outcome::Anchored(attached) => (attached, None),
            Outcome::Lost(attached, _) => (attached, Some(TRUNCATED)),
            // Both need another log, which is for those to ask for who want to use the room; the row then says so.
            Outcome::Gone => return Ended::Broken("the broker says that there is no such stream".into()),
            Outcome::Changed(evidence) => {
                return Ended::Broken(format!("this is not the log that was stored: {evidence:?}"));
            }
            Outcome::Failed(reason) => return Ended::Broken(reason),
        };
        loop {
            let delivery = match pending.take() {
                Some(delivery) => delivery,
                None => match consumer.next().await {
                    Ok(delivery) => delivery,
                    Err(error) => return Ended::Broken(error.to_string()),
                },
            };
            let previous = self.anchor.map_or(-1, |anchor| anchor.off);
            // Of a log of which nothing is stored the first message is the first one.
            if previous < 0 && delivery.offset > 0 {
                lost = Some(TRUNCATED);
            }
            let Ok(off) = i64::try_from(delivery.offset) else { return Ended::Broken("an offset is no number".into()) };
            // A broker may begin a little before the offset that was asked for.
            if off <= previous {
                continue;
            }
            let next = Anchor { off, crc: Some(delivery.crc()) };
            if !self.put(previous, lost.take(), delivery).await {
                return Ended::Stopped;
            }
            self.anchor = Some(next);
        }
    }

    async fn attach(&self, anchor: Anchor) -> Outcome {
        let Ok(turn) = self.context.attaching.acquire().await else { return Outcome::Failed("stopping".into()) };
        let mut attaching =
            std::pin::pin!(attach::attach(&self.context.broker, &self.source.row.stream, anchor, PREFETCH));
        if let Ok(outcome) = timeout(ATTACH_TURN, &mut attaching).await {
            return outcome;
        }
        drop(turn);
        attaching.await
    }

    async fn put(&self, previous: i64, lost: Option<&'static str>, delivery: Delivery) -> bool {
        let item = Item::new(self.source.clone(), self.generation, previous, lost, delivery);
        self.context.reading.put(item).await
    }
}
