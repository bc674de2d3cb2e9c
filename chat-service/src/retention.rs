//! Removes, in small steps, what rooms no longer want kept.

use crate::historian::Partitions;
use crate::store::retention;
use rand::RngExt as _;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks at all rooms, in seconds.
const PAUSE_SECONDS: std::ops::Range<u64> = 30..90;
/// Between two steps in one room: people who talk come first.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Runs until told to stop.
pub(crate) async fn run(pool: PgPool, partitions: Partitions, stop: CancellationToken) {
    loop {
        let pause = Duration::from_secs(rand::rng().random_range(PAUSE_SECONDS));
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        let held = partitions.borrow().clone();
        let pass = tokio::select! {
            pass = pass(&pool, &held) => pass,
            () = stop.cancelled() => return,
        };
        if let Err(error) = pass {
            tracing::warn!(%error, "failed to remove old messages, trying again later");
        }
    }
}

async fn pass(pool: &PgPool, partitions: &std::collections::BTreeSet<i16>) -> Result<(), sqlx::Error> {
    for limited in retention::limited(pool, partitions).await? {
        loop {
            let removed = retention::trim(pool, &limited).await?;
            if removed == 0 {
                break;
            }
            metrics::counter!("parlor_retention_removed_total").increment(removed);
            sleep(STEP_PAUSE).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
