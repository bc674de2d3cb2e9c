//! `GET /v1/me/sessions` and `DELETE /v1/me/sessions/{id}`.

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use service::extract::Path;
use service::problem::{Code, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answers::moment;
use super::caller::Caller;
use crate::accounts::Outage;
use crate::state::App;
use service::openapi::ProblemDocument;

/// Where somebody is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    id: Uuid,
    /// As given at login.
    device: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_used_at: String,
    /// Whether it is the caller's own.
    current: bool,
}

/// All of the caller's sessions, the one used last first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    sessions: Vec<Session>,
}

/// Where the caller is signed in.
#[utoipa::path(
    get,
    path = "/v1/me/sessions",
    operation_id = "list_sessions",
    tag = "me",
    security(("bearer" = [])),
    responses((status = 200, description = "The sessions.", body = SessionList))
)]
pub(crate) async fn list(State(app): State<App>, Caller(person): Caller) -> Result<axum::Json<SessionList>, Problem> {
    let sessions = app.accounts.sessions.list(person.user).await.map_err(Outage::Sessions)?;
    let sessions = sessions.into_iter().map(|session| Session {
        id: session.id,
        device: session.device,
        created_at: moment(session.created_at),
        last_used_at: moment(session.last_used_at),
        current: session.id == person.session,
    });
    Ok(axum::Json(SessionList { sessions: sessions.collect() }))
}

/// Ends one of the caller's sessions; its open sockets close.
#[utoipa::path(
    delete,
    path = "/v1/me/sessions/{id}",
    operation_id = "end_session",
    tag = "me",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The session's id.")),
    responses(
        (status = 204, description = "Ended."),
        (status = 404, description = "The caller has no such session.", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end(
    State(app): State<App>,
    Caller(person): Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if app.accounts.sessions.end_listed(person.user, id).await.map_err(Outage::Sessions)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(Code::NotFound, "you have no such session"))
    }
}
