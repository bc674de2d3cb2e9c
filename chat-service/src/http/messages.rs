//! Messages of a room: history and sending.

use super::caller::Caller;
use super::room_path::RoomPath;
use crate::rooms::page::{self, Asked, Page};
use crate::rooms::post::{self, NewMessage, Posted};
use crate::state::State;
use axum::extract;
use axum::http::StatusCode;
use service::extract::{Json, Query};
use service::problem::Problem;

/// A page of history, oldest first inside the page. Without a position the newest page.
#[utoipa::path(get, path = "/v1/rooms/{namespace}/{name}/messages", tag = "messages", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path), Asked),
    responses((status = OK, body = Page)))]
pub(crate) async fn page(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
    Query(asked): Query<Asked>,
) -> Result<Json<Page>, Problem> {
    Ok(Json(page::page(&state, user.id, &room, &asked).await?))
}

/// Sends a message. The same id again is the same message, and is answered with its first position.
#[utoipa::path(post, path = "/v1/rooms/{namespace}/{name}/messages", tag = "messages", security(("bearer" = [])),
    params(("namespace" = String, Path), ("name" = String, Path)), request_body = NewMessage,
    responses((status = CREATED, body = Posted)))]
pub(crate) async fn post(
    extract::State(state): extract::State<State>,
    Caller(user): Caller,
    RoomPath(room): RoomPath,
    Json(message): Json<NewMessage>,
) -> Result<(StatusCode, Json<Posted>), Problem> {
    Ok((StatusCode::CREATED, Json(post::post(&state, &user, &room, message).await?)))
}
