//! The rooms that a person may see, with what is unread in them.

use crate::error::Refused;
use crate::rooms::names;
use crate::state::State;
use crate::store::rooms::{self, ListedRow};
use contract::event::User;
use contract::room::RoomName;
use serde::Serialize;
use utoipa::ToSchema;

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing {
    /// In the order of their addresses.
    pub(crate) rooms: Vec<Listed>,
}

/// One room as a person sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed {
    /// `<namespace>/<name>`.
    #[schema(example = "team-a/general")]
    pub(crate) room: String,
    /// Shown name.
    pub(crate) display_name: String,
    /// Shown topic.
    pub(crate) topic: String,
    /// Public or Private.
    pub(crate) visibility: String,
    /// False: it can be read, not written to.
    pub(crate) open: bool,
    /// The person's role; null for those who did not join.
    pub(crate) role: Option<String>,
    /// Name of the current log.
    pub(crate) epoch: String,
    /// Last position in it that this gateway knows.
    pub(crate) last_pos: u64,
    /// Others' undeleted messages after the read pointer, at most 999; 0 for those who did not join.
    pub(crate) unread: i64,
    /// Those of them that name the person.
    pub(crate) mentions: i64,
}

/// Every room that the person may see.
pub(crate) async fn list(state: &State, user: &User) -> Result<Listing, Refused> {
    // A manifest may have named this person before they were there.
    names::resolve_for(state, user).await.map_err(|error| Refused::database(&error))?;
    let rows =
        rooms::list(&state.pool, user.id, &user.username, None).await.map_err(|error| Refused::database(&error))?;
    Ok(Listing { rooms: rows.into_iter().map(|row| listed(state, row)).collect() })
}

/// One room.
pub(crate) async fn one(state: &State, user: &User, name: &RoomName) -> Result<Listed, Refused> {
    let mut rows = rooms::list(&state.pool, user.id, &user.username, Some(name))
        .await
        .map_err(|error| Refused::database(&error))?;
    rows.pop().map(|row| listed(state, row)).ok_or(Refused::NotFound("room"))
}

fn listed(state: &State, row: ListedRow) -> Listed {
    let stored = u64::try_from(row.pos).unwrap_or(0);
    // What this gateway has read is newer than what history has stored.
    let read = state.logs.applied(row.id).filter(|(epoch, _)| epoch.as_str() == row.epoch).map_or(0, |(_, pos)| pos);
    Listed {
        room: format!("{}/{}", row.namespace, row.name),
        display_name: row.display_name,
        topic: row.topic,
        visibility: row.visibility,
        open: row.open,
        role: row.role,
        epoch: row.epoch,
        last_pos: stored.max(read),
        unread: row.unread,
        mentions: row.mentions,
    }
}
