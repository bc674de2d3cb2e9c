//! Publishes a row of messages in order: one channel, pipelined, so that none overtakes another.

use super::Publication;
use super::publisher::{self, Publisher};
use lapin::Confirmation;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A whole series is over after this, whatever happened.
const LIMIT: Duration = Duration::from_secs(10);

impl Publisher {
    /// How many from the front were confirmed. Never mandatory: lapin pairs a returned message with whichever confirm comes next.
    pub(super) async fn publish_in_order(&self, publications: Vec<Publication>) -> usize {
        let deadline = Instant::now() + LIMIT;
        let Some((session, channel)) = self.borrow(deadline).await else { return 0 };
        let mut confirms = Vec::with_capacity(publications.len());
        for publication in publications {
            let publication = Publication { mandatory: false, ..publication };
            let properties = publisher::persistent().with_content_type("application/json".into());
            match timeout_at(deadline, publisher::send(&channel, publication, properties)).await {
                Ok(Ok(confirm)) => confirms.push(confirm),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let (sent, mut confirmed) = (confirms.len(), 0);
        for confirm in confirms {
            match timeout_at(deadline, confirm).await {
                Ok(Ok(Confirmation::Ack(_))) => confirmed += 1,
                _ => break,
            }
        }
        if confirmed == sent {
            self.give_back(session, channel);
        }
        confirmed
    }
}
