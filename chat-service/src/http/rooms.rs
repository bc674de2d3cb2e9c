//! The rooms of the caller: list, join, leave.

use super::caller::Caller;
use super::room_path::RoomPath;
use crate::rooms::list::{Listed, Listing};
use crate::rooms::{join, leave, list};
use crate::state::State;
use axum::extract;
use axum::http::StatusCode;
use service::extract::Json;
use service::problem::Problem;

/// The rooms that the caller may see.
#[utoipa::path(get, path = "/v1/rooms", tag = "rooms", security(("bearer" = [])),
    responses((status = OK, body = Listing)))]
pub(crate) async fn all(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
) -> Result<Json<Listing>, Problem> {
    Ok(Json(list::list(&state, &user).await?))
}

/// One room.
#[utoipa::path(get, path = "/v1/rooms/{namespace}/{name}", tag = "rooms", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = OK, body = Listed)))]
pub(crate) async fn one(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
) -> Result<Json<Listed>, Problem> {
    Ok(Json(list::one(&state, &user, &room).await?))
}

/// Joins a room; again changes nothing.
#[utoipa::path(post, path = "/v1/rooms/{namespace}/{name}/join", tag = "rooms", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = NO_CONTENT, description = "The caller is a member.")))]
pub(crate) async fn join(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
) -> Result<StatusCode, Problem> {
    join::join(&state, &user, &room).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leaves a room; again changes nothing.
#[utoipa::path(post, path = "/v1/rooms/{namespace}/{name}/leave", tag = "rooms", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = NO_CONTENT, description = "The caller is no member.")))]
pub(crate) async fn leave(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
) -> Result<StatusCode, Problem> {
    leave::leave(&state, &user, &room).await?;
    Ok(StatusCode::NO_CONTENT)
}
