//! Keeps this historian's share of the 64 partitions.

use crate::store::partitions;
use service::health::Check;
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The partitions that this process holds, as they change.
pub(crate) type Partitions = watch::Receiver<Arc<BTreeSet<i16>>>;

const RENEW_EVERY: Duration = Duration::from_secs(3);
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// Renews until told to stop, then releases. While PostgreSQL is out of reach the share stays what it was: nothing can be stored
/// meanwhile anyway.
pub(super) async fn keep(
    pool: PgPool,
    name: String,
    held: watch::Sender<Arc<BTreeSet<i16>>>,
    check: Check,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        match partitions::renew(&pool, &name).await {
            Ok(now) => {
                check.ready();
                metrics::gauge!("parlor_historian_partitions").set(f64::from(u32::try_from(now.len()).unwrap_or(0)));
                held.send_if_modified(|before| {
                    let changed = **before != now;
                    if changed {
                        tracing::info!(partitions = now.len(), "share of the logs");
                        *before = Arc::new(now);
                    }
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "failed to renew the historian's leases"),
        }
        tokio::select! {
            () = sleep(RENEW_EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
    match timeout(RELEASE_LIMIT, partitions::release(&pool, &name)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "failed to release the historian's leases"),
        Err(_) => tracing::warn!("failed to release the historian's leases in time"),
    }
}
