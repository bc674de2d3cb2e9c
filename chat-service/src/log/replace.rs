//! Asks for a new log where the stream is provably not the log that was read before. The row decides, by compare and set: of many
//! observers one wins, and all follow the row.

use super::RoomKey;
use super::attach::Evidence;
use super::registry::Context;
use crate::rooms::replace;
use contract::position::Epoch;
use std::sync::Arc;

/// The old log can not be closed by an event in it: no reader finds its end, and what would be written there is no continuation. So
/// it counts as gone, gateways hand over what they hold of it, and then the next one opens.
pub(super) async fn ask(context: Arc<Context>, room: RoomKey, epoch: Arc<Epoch>, evidence: Evidence) {
    match replace::replace(&context.pool, room.id, &epoch, true).await {
        Ok(replaced) => tracing::warn!(
            room = %room.name, ?evidence, epoch = %epoch, newest = %replaced.newest, won = replaced.won, "a new log was asked for"
        ),
        Err(error) => tracing::error!(room = %room.name, %error, "failed to ask for a new log"),
    }
}
