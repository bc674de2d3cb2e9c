//! Sends what one log has to be sent.

use crate::broker::{Broker, Publication};
use crate::store::feed::{self, Row, Turn};
use contract::names::{EVENTS_EXCHANGE, event_key};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// Events on their way at once, and between two looks at the cursor.
const PAGE: i64 = 200;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything that was stored is sent, or the log is gone.
    Sent,
    /// An earlier log of the room comes first.
    Waits,
    /// Not now.
    Failed,
}

/// Page by page, until everything is sent or something fails.
pub(super) async fn run(pool: &PgPool, broker: &Broker, log: i64, stop: &CancellationToken) -> Verdict {
    loop {
        match page(pool, broker, log).await {
            Ok(Some(verdict)) => return verdict,
            Ok(None) if stop.is_cancelled() => return Verdict::Waits,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(log, %error, "failed to read events to be sent");
                return Verdict::Failed;
            }
        }
    }
}

/// `None`: there may be more.
async fn page(pool: &PgPool, broker: &Broker, log: i64) -> Result<Option<Verdict>, sqlx::Error> {
    let Some(turn) = feed::turn(pool, log).await? else { return Ok(Some(Verdict::Sent)) };
    if turn.sent >= turn.stored {
        return Ok(Some(Verdict::Sent));
    }
    if turn.waits {
        return Ok(Some(Verdict::Waits));
    }
    let rows = feed::page(pool, &turn, PAGE).await?;
    let publications = rows.iter().map(|row| publication(&turn, row)).collect();
    let sent = broker.publish_in_order(publications).await;
    metrics::counter!("parlor_feed_sent_total").increment(u64::try_from(sent).unwrap_or(0));
    let whole = sent == rows.len();
    let to = if whole && rows.len() < usize::try_from(PAGE).unwrap_or(0) {
        // Everything that was stored when we looked, void events at the end included.
        turn.stored
    } else {
        sent.checked_sub(1).map_or(turn.sent, |last| rows[last].pos)
    };
    if to > turn.sent && !feed::advance(pool, log, turn.sent, to).await? {
        // Somebody else moved it: look again.
        return Ok(None);
    }
    if whole {
        return Ok(None);
    }
    metrics::counter!("parlor_feed_failures_total").increment(1);
    tracing::warn!(room = %turn.name, log, "an event was not confirmed by the broker, the feed of this room waits");
    Ok(Some(Verdict::Failed))
}

/// Not mandatory: an event that nobody subscribed to is sent all the same.
fn publication(turn: &Turn, row: &Row) -> Publication {
    Publication {
        exchange: EVENTS_EXCHANGE,
        key: event_key(&turn.name, &row.kind),
        log: None,
        mandatory: false,
        body: row.event.clone().into_bytes(),
    }
}
