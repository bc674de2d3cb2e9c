//! Reads the logs and stores them in PostgreSQL: exactly once, whoever is killed when.
//! Leases say which logs to read; each log has a reader; all readers feed one batcher, which stores many logs in one transaction.
//! The feed to `parlor.events` and retention run beside it under the same leases.

mod batch;
mod leases;
mod reader;
mod roster;

use crate::broker::Broker;
use crate::live::Live;
use crate::{feed, retention};
use service::health::Check;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use leases::Partitions;

/// Storing what was read, and giving back the leases, at the end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Runs until shutdown begins, then stores what was read and gives its leases back. `name` should outlive a restart, so that the same
/// historian takes up its own leases at once.
pub(crate) async fn run(pool: PgPool, broker: Broker, name: String, check: Check, shutdown: Shutdown) {
    // Readers and batcher end in turn: first nothing is read any more, then what was read is stored, then the leases go.
    let (stop_reading, stop_leases) = (CancellationToken::new(), CancellationToken::new());
    // Also where this future is dropped.
    let _guards = (stop_reading.clone().drop_guard(), stop_leases.clone().drop_guard());
    let (held, partitions) = watch::channel(Arc::new(BTreeSet::new()));
    let live = Live::telling(&broker, &format!("historian.{name}"));
    let leases = tokio::spawn(leases::keep(pool.clone(), name, held, check, stop_leases.clone()));
    let (fed, feed) = feed::start(pool.clone(), broker.clone(), partitions.clone(), stop_reading.clone());
    let retention = tokio::spawn(retention::run(pool.clone(), partitions.clone(), stop_reading.clone()));
    let (reading, batcher) = batch::start(pool.clone(), fed, live);
    let roster = tokio::spawn(roster::run(pool, broker, partitions, reading, stop_reading.clone()));
    shutdown.begun().await;
    stop_reading.cancel();
    let stopped = timeout(STOP_LIMIT, async {
        roster.await.ok();
        batcher.await.ok();
        feed.await.ok();
        retention.await.ok();
        stop_leases.cancel();
        leases.await.ok();
    });
    if stopped.await.is_err() {
        tracing::warn!("the historian did not stop in time; another one will store what it had read");
    }
}

#[cfg(test)]
mod tests;
