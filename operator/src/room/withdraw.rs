//! A room whose manifest is gone, by its policy: closed first, always; deleted only where the policy says so, and never a message
//! with it that the policy would keep. Does not look at any manifest.

use std::time::Duration;

use contract::names;
use contract::room::RoomName;
use futures::future::join_all;
use proto::chat::v1::Room;

use crate::context::{Closed, Context};
use crate::report::{Reason, RoomReport};
use crate::rooms_service::ServiceError;

/// How soon it is looked at again whether history has read everything.
const SOON: Duration = Duration::from_millis(500);

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Withdrawal {
    /// Closed, readable; nothing more is to be done.
    Closed,
    /// Not there any more.
    Deleted,
    /// Messages remain: looked at again with everything else.
    NotEmpty(RoomReport),
    /// Looked at again after this time.
    Again(RoomReport, Duration),
    /// The servers have to come back first.
    Parked(RoomReport),
}

/// One attempt. Every step may be repeated.
pub(crate) async fn attempt(context: &Context, room: &RoomName, row: &Room) -> Withdrawal {
    match close(context, room, row).await {
        Ok(withdrawal) => withdrawal,
        Err(ServiceError::Refused { word, .. }) if word == "not_found" => Withdrawal::Deleted,
        // Another owner has it now, or somebody works on it: the rows tell at the next look.
        Err(ServiceError::Refused { message, .. }) => {
            Withdrawal::Again(report(Reason::Deleting, row, message), Duration::from_secs(5))
        }
        Err(error) => {
            let closed = Closed::from(&error);
            Withdrawal::Parked(report(closed.reason, row, closed.message))
        }
    }
}

async fn close(context: &Context, room: &RoomName, row: &Room) -> Result<Withdrawal, ServiceError> {
    let closed = context.service.close(&row.room, &row.owner_uid).await?;
    if let Some(row) = context.world().rows.get_mut(room) {
        row.open = false;
        row.released = true;
    }
    if row.deletion_policy == "Retain" {
        return Ok(Withdrawal::Closed);
    }
    if row.deletion_policy == "DeleteIfEmpty" {
        if !closed.read_to_end {
            let message = "closed to sending; it is deleted once history has read everything".to_owned();
            return Ok(Withdrawal::Again(report(Reason::Deleting, row, message), SOON));
        }
        if closed.messages > 0 {
            return Ok(not_empty(row, &format!("{} messages remain", closed.messages)));
        }
    }
    match context.service.delete(&row.room, &row.owner_uid).await {
        Ok(streams) => {
            forget(context, room, streams);
            remove_queues(context).await;
            Ok(Withdrawal::Deleted)
        }
        Err(ServiceError::Refused { reason, message, .. }) if reason == "not_empty" => Ok(not_empty(row, &message)),
        Err(error) => Err(error),
    }
}

fn not_empty(row: &Room, what: &str) -> Withdrawal {
    let message = format!(
        "{what}: the manifest is gone and deletionPolicy is DeleteIfEmpty, so the room stays, closed to sending; put the manifest back, or back with the policy Delete"
    );
    Withdrawal::NotEmpty(report(Reason::NotEmpty, row, message))
}

fn report(reason: Reason, row: &Room, message: String) -> RoomReport {
    RoomReport::not_ready(reason, message).with_log(row.log.as_ref())
}

/// The row is gone; its queues are the next to go, now or when the broker is back.
fn forget(context: &Context, room: &RoomName, streams: Vec<String>) {
    let mut world = context.world();
    world.rows.remove(room);
    let prefix = names::subscription_queue(room, "");
    let subscriptions: Vec<String> =
        world.picture.queues.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
    world.removals.extend(streams.into_iter().chain(subscriptions));
}

/// Deletes the queues of deleted rooms; what fails stays for the next time.
pub(crate) async fn remove_queues(context: &Context) {
    let queues: Vec<String> = context.world().removals.iter().cloned().collect();
    join_all(queues.iter().map(async |name| match context.broker.delete_queue(name).await {
        Ok(()) => {
            tracing::info!(queue = name, "deleted with its room");
            let mut world = context.world();
            world.removals.remove(name);
            world.picture.remove_queue(name);
        }
        Err(error) => tracing::warn!(queue = name, %error, "not deleted yet"),
    }))
    .await;
}
