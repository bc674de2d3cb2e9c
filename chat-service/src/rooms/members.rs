//! Who is in a room, a page at a time.

use crate::error::Refused;
use crate::rooms::access::Wish;
use crate::state::State;
use crate::store::members::{self, MemberRow};
use contract::event::User;
use contract::room::RoomName;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const USUAL: u32 = 50;
const MOST: u32 = 100;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Username of the last member of the page before.
    pub(crate) after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub(crate) limit: Option<u32>,
}

/// Members in the order of their usernames.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Members {
    /// This page.
    pub(crate) members: Vec<Member>,
    /// More follow behind the last one.
    pub(crate) has_more: bool,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    /// Who.
    pub(crate) user: Person,
    /// Owner, Moderator, Member or ReadOnly.
    pub(crate) role: String,
    /// Since when.
    pub(crate) joined_at: String,
}

/// A person as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Person {
    /// UUIDv7.
    pub(crate) id: Uuid,
    /// Never given to another person.
    pub(crate) username: String,
    /// Free text.
    pub(crate) display_name: String,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self { id: user.id, username: user.username, display_name: user.display_name }
    }
}

/// A page of members.
pub(crate) async fn members(state: &State, reader: Uuid, name: &RoomName, asked: Asked) -> Result<Members, Refused> {
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Refused::invalid(format!("limit is 1 to {MOST}, not {limit}")));
    }
    let room = state.access.ask(Wish::Read, reader, name).await?;
    let after = asked.after.unwrap_or_default();
    let mut rows = members::page(&state.pool, room.key.id, &after, i64::from(limit) + 1)
        .await
        .map_err(|error| Refused::database(&error))?;
    let has_more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Members { members: rows.into_iter().map(member).collect(), has_more })
}

fn member(row: MemberRow) -> Member {
    Member {
        user: Person { id: row.user_id, username: row.username, display_name: row.display_name },
        role: row.role,
        joined_at: service::clock::rfc3339_ms(row.joined_at),
    }
}
