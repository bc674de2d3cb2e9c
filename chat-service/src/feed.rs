//! Relays stored events to the exchange `parlor.events`, in log order, at least once: an own cursor per log over the stored
//! events, moved by compare-and-set after the confirm. A room whose events are not confirmed delays only itself.

mod relay;

use crate::broker::Broker;
use crate::historian::Partitions;
use crate::store;
use relay::Verdict;
use service::retry::Backoff;
use sqlx::PgPool;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Logs that are relayed at the same time.
const MOST_RELAYS: usize = 16;
/// What somebody else left unsent (a historian that died, a log that moved here) is found within this.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// While some log has to wait.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For an earlier log of its room.
const TURN_PAUSE: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The historian's end: which logs have something new. Cheap to clone, bounded by the number of logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fed {
    logs: Arc<Mutex<HashSet<i64>>>,
    some: Arc<Notify>,
}

impl Fed {
    /// Events of this log were stored.
    pub(crate) fn stored(&self, log: i64) {
        self.lock().insert(log);
        self.some.notify_one();
    }

    fn take(&self) -> HashSet<i64> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log with something to send that is not being relayed right now.
struct Waiting {
    until: Instant,
    /// After failures.
    backoff: Option<Backoff>,
}

struct Feed {
    pool: PgPool,
    broker: Broker,
    fed: Fed,
    partitions: Partitions,
    waiting: HashMap<i64, Waiting>,
    relays: JoinSet<(i64, Verdict)>,
    relayed: HashMap<i64, Option<Backoff>>,
}

/// Starts the relay for the logs of these partitions; it stops between two events once told to.
pub(crate) fn start(
    pool: PgPool,
    broker: Broker,
    partitions: Partitions,
    stop: CancellationToken,
) -> (Fed, JoinHandle<()>) {
    let fed = Fed::default();
    let feed = Feed {
        pool,
        broker,
        fed: fed.clone(),
        partitions,
        waiting: HashMap::new(),
        relays: JoinSet::new(),
        relayed: HashMap::new(),
    };
    (fed, tokio::spawn(feed.run(stop)))
}

impl Feed {
    async fn run(mut self, stop: CancellationToken) {
        let mut sweep_at = Instant::now();
        while !stop.is_cancelled() {
            if Instant::now() >= sweep_at {
                self.sweep().await;
                sweep_at = Instant::now() + SWEEP_EVERY;
            }
            self.begin(&stop);
            let pause = if self.waiting.is_empty() { SWEEP_EVERY } else { LOOK_EVERY };
            let until = sweep_at.min(Instant::now() + pause);
            let (fed, partitions) = (self.fed.clone(), &mut self.partitions);
            tokio::select! {
                () = fed.some.notified() => {}
                Some(ended) = self.relays.join_next() => match ended {
                    Ok((log, verdict)) => self.ended(log, verdict),
                    // A relay that panicked is found again by the next sweep.
                    Err(_) => self.relayed.clear(),
                },
                Ok(()) = partitions.changed() => sweep_at = Instant::now(),
                () = tokio::time::sleep_until(until) => {}
                () = stop.cancelled() => {}
            }
            self.note(fed.take());
        }
        // Each stops between two pages.
        while self.relays.join_next().await.is_some() {}
    }

    async fn sweep(&mut self) {
        let partitions = self.partitions.borrow_and_update().clone();
        match store::feed::behind(&self.pool, &partitions).await {
            Ok(logs) => {
                let logs: HashSet<i64> = logs.into_iter().collect();
                // Those that went to another historian are its own.
                self.waiting.retain(|log, _| logs.contains(log));
                self.note(logs);
            }
            Err(error) => tracing::warn!(%error, "failed to look for events to be sent"),
        }
        let failing = self.waiting.values().filter(|waiting| waiting.backoff.is_some()).count();
        metrics::gauge!("parlor_feed_failing_logs").set(f64::from(u32::try_from(failing).unwrap_or(u32::MAX)));
    }

    fn note(&mut self, logs: HashSet<i64>) {
        for log in logs {
            self.waiting.entry(log).or_insert_with(|| Waiting { until: Instant::now(), backoff: None });
        }
    }

    /// Starts what may start now.
    fn begin(&mut self, stop: &CancellationToken) {
        let now = Instant::now();
        let ready: BTreeSet<i64> = self
            .waiting
            .iter()
            .filter(|(log, waiting)| waiting.until <= now && !self.relayed.contains_key(log))
            .map(|(log, _)| *log)
            .collect();
        for log in ready.into_iter().take(MOST_RELAYS.saturating_sub(self.relays.len())) {
            let backoff = self.waiting.remove(&log).and_then(|waiting| waiting.backoff);
            self.relayed.insert(log, backoff);
            let (pool, broker, stop) = (self.pool.clone(), self.broker.clone(), stop.clone());
            self.relays.spawn(async move { (log, relay::run(&pool, &broker, log, &stop).await) });
        }
    }

    fn ended(&mut self, log: i64, verdict: Verdict) {
        let backoff = self.relayed.remove(&log).flatten();
        let again = match verdict {
            Verdict::Sent => return,
            Verdict::Waits => Waiting { until: Instant::now() + TURN_PAUSE, backoff: None },
            Verdict::Failed => {
                let mut backoff = backoff.unwrap_or_else(|| Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
                Waiting { until: Instant::now() + backoff.next(), backoff: Some(backoff) }
            }
        };
        self.waiting.insert(log, again);
    }
}

#[cfg(test)]
mod tests;
