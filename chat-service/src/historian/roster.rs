//! Which logs are read here: those of the partitions that this historian holds and that are open.

use super::batch::Reading;
use super::leases::Partitions;
use super::reader::{self, Context, Source};
use crate::broker::Broker;
use crate::store::partitions;
use sqlx::PgPool;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// New logs are noticed within this; one that took over from a log that is read here, at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Attaches at the same time: an attach takes the broker some milliseconds, and a queue here is better than one there.
const MOST_ATTACHING: usize = 32;
/// Rows that are read at once when many logs are new.
const MOST_ROWS: usize = 1000;

struct Running {
    source: Arc<Source>,
    task: JoinHandle<()>,
}

/// Starts and stops readers until told to stop, then waits for all of them.
pub(super) async fn run(pool: PgPool, broker: Broker, mut held: Partitions, reading: Reading, stop: CancellationToken) {
    let closed = reading.closed.clone();
    let attaching = Arc::new(Semaphore::new(MOST_ATTACHING));
    let context = Context { pool: pool.clone(), broker, reading, attaching };
    let mut running: HashMap<i64, Running> = HashMap::new();
    loop {
        let partitions = held.borrow_and_update().clone();
        if let Err(error) = adjust(&pool, &partitions, &mut running, &context, &stop).await {
            tracing::warn!(%error, "failed to look for logs to read");
        }
        metrics::gauge!("parlor_historian_logs").set(f64::from(u32::try_from(running.len()).unwrap_or(u32::MAX)));
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = closed.notified() => {}
            Ok(()) = held.changed() => {}
            () = stop.cancelled() => break,
        }
    }
    for running in running.into_values() {
        running.source.stop.cancel();
        running.task.await.ok();
    }
}

async fn adjust(
    pool: &PgPool,
    partitions: &BTreeSet<i16>,
    running: &mut HashMap<i64, Running>,
    context: &Context,
    stop: &CancellationToken,
) -> Result<(), sqlx::Error> {
    let open: HashSet<i64> = partitions::open_logs(pool, partitions).await?.into_iter().collect();
    running.retain(|id, running| {
        let stays = open.contains(id) && !running.task.is_finished();
        if !stays {
            running.source.stop.cancel();
        }
        stays
    });
    let new: Vec<i64> = open.into_iter().filter(|id| !running.contains_key(id)).collect();
    for ids in new.chunks(MOST_ROWS) {
        for row in partitions::open_rows(pool, ids).await? {
            let id = row.id;
            let source = Source::new(row, stop.child_token());
            let task = tokio::spawn(reader::run(source.clone(), context.clone()));
            running.insert(id, Running { source, task });
        }
    }
    Ok(())
}
