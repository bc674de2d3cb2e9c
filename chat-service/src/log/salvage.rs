//! What this gateway holds of a log that somebody deleted goes to the same guarded function as the historian's, for ten seconds at
//! most: whoever opens the next log waits no longer.

use super::delivery::Delivery;
use super::registry::Context;
use crate::store::append::{self, Segment, Stored};
use crate::store::logs::{self, Salvage};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(9);
const PAUSE: Duration = Duration::from_millis(200);

/// Stores `deliveries`, which follow on the stored offset without a hole, and says that this gateway has nothing more.
pub(super) async fn hand_over(context: Arc<Context>, order: Salvage, deliveries: Vec<Delivery>) {
    let count = deliveries.len();
    match timeout(LIMIT, store(&context, &order, deliveries)).await {
        Ok(()) => {
            tracing::info!(room = %order.room.name, epoch = %order.epoch, count, "handed over what was held of a deleted log");
        }
        Err(_) => {
            tracing::error!(room = %order.room.name, epoch = %order.epoch, count, "failed to hand over a deleted log in time");
        }
    }
    if let Err(error) = logs::salvaged(&context.pool, order.log, &context.gateway).await {
        tracing::warn!(%error, "failed to say that a deleted log was handed over");
    }
}

/// Until the row has all of it, by whoever stored it.
async fn store(context: &Context, order: &Salvage, mut deliveries: Vec<Delivery>) {
    loop {
        let off = match logs::stored_offset(&context.pool, order.log).await {
            Ok(Some(off)) => off,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "failed to read how far a deleted log is stored");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        deliveries.retain(|delivery| i64::try_from(delivery.offset).unwrap_or(i64::MAX) > off);
        if deliveries.is_empty() {
            return;
        }
        let segment = Segment {
            log: order.log,
            room: order.room.clone(),
            epoch: order.epoch.clone(),
            old_off: off,
            deliveries: deliveries.clone(),
        };
        match append::append(&context.pool, &[segment]).await {
            Ok(outcomes) if outcomes == [Stored::Done] => return,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "failed to store what was held of a deleted log"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
