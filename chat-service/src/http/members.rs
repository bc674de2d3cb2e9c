//! Who is in a room.

use super::caller::Caller;
use super::room_path::RoomPath;
use crate::rooms::members::{self, Asked, Members};
use crate::state::State;
use axum::extract;
use service::extract::{Json, Query};
use service::problem::Problem;

/// Members in the order of their usernames.
#[utoipa::path(get, path = "/v1/rooms/{namespace}/{name}/members", tag = "rooms", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path), Asked),
    responses((status = OK, body = Members)))]
pub(crate) async fn page(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
    Query(asked): Query<Asked>,
) -> Result<Json<Members>, Problem> {
    Ok(Json(members::members(&state, user.id, &room, asked).await?))
}
