//! Step 1: what a set of rooms has in the rows, as the platform's pass read them. Costs no request.

use proto::chat::v1::Room;

use super::Subject;
use crate::context::Context;

/// A room with its row.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The room.
    pub(super) subject: Subject,
    /// Its row, if it has one.
    pub(super) row: Option<Room>,
}

/// Each room with its row.
pub(super) fn read(context: &Context, set: Vec<Subject>) -> Vec<Found> {
    let world = context.world();
    set.into_iter()
        .map(|subject| {
            let row = world.rows.get(&subject.room).cloned();
            Found { subject, row }
        })
        .collect()
}
