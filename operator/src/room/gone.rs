//! A log that somebody deleted: certain only after the broker said so twice, and then never declared again under its name.

use std::time::Duration;

use proto::chat::v1::Room;

use super::apply::Failure;
use super::validate::Refusal;
use crate::context::Context;
use crate::platform::build::logs;
use crate::report::Reason;
use crate::rooms_service::ServiceError;

/// Between the two questions.
const PAUSE: Duration = Duration::from_millis(300);

/// Replaces each log in use whose stream, in `lost`, really is gone; the row then names what follows.
pub(super) async fn settle(context: &Context, row: &mut Room, lost: &[String]) -> Result<(), Failure> {
    for stream in lost {
        let epoch = logs(row).find(|log| log.stream == *stream).map(|log| log.epoch.clone());
        if let Some(epoch) = epoch
            && is_gone(context, stream).await?
        {
            tracing::warn!(room = row.room, stream, "the log was deleted; a new one is opened");
            metrics::counter!("parlor_operator_logs_replaced_total").increment(1);
            *row = replace(context, row, &epoch, true).await?;
        }
    }
    Ok(())
}

/// Two direct questions, both answered with 404; the world takes what is there after all.
async fn is_gone(context: &Context, stream: &str) -> Result<bool, Failure> {
    for attempt in 0..2 {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(queue) = context.broker.queue(stream).await? {
            context.world().picture.queues.insert(stream.to_owned(), queue);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks for a new log in place of `epoch`; another one may have come first, whose log is then used.
pub(super) async fn replace(context: &Context, row: &Room, epoch: &str, gone: bool) -> Result<Room, Failure> {
    let replaced = context.service.replace(&row.room, epoch, gone).await.map_err(|error| match error {
        unreachable @ ServiceError::Unreachable(_) => Failure::from(unreachable),
        ServiceError::Refused { word, message, .. } if word == "conflict" || word == "not_found" => {
            Failure::Changed(message)
        }
        ServiceError::Refused { message, .. } => Failure::Refused(Refusal::new(Reason::RoomsServiceRefused, message)),
    })?;
    context.world().take_row(replaced.clone());
    Ok(replaced)
}
