//! `POST /v1/register`.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::extract::Json;
use service::problem::Problem;
use utoipa::ToSchema;

use super::address::ClientAddress;
use super::answers::User;
use super::openapi::{Email, Line};
use crate::accounts::register::Request;
use crate::secret::Secret;
use crate::state::App;
use service::openapi::ProblemDocument;

/// Who wants to be registered.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Registration {
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,31}$", example = "alice")]
    username: String,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 256)]
    password: Secret,
    /// The username, if absent.
    #[schema(value_type = Option<Line>)]
    display_name: Option<String>,
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// Needed where registration is by invite, and for a reserved name.
    #[schema(value_type = Option<String>)]
    invite: Option<Secret>,
}

/// Who was registered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Registered {
    user: User,
}

/// Registers a new account.
#[utoipa::path(
    post,
    path = "/v1/register",
    tag = "sign in",
    request_body = Registration,
    responses(
        (status = 201, description = "Registered.", body = Registered),
        (status = 403, description = "`registration_closed`, `invite_required` or `invite_invalid`.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`username_taken`.", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(body): Json<Registration>,
) -> Result<(StatusCode, axum::Json<Registered>), Problem> {
    app.limits.registration(address).await?;
    let Registration { username, password, display_name, email, invite } = body;
    let user = app.accounts.register(Request { username, password, display_name, email, invite }).await?;
    metrics::counter!("parlor_users_registrations_total").increment(1);
    Ok((StatusCode::CREATED, axum::Json(Registered { user: user.into() })))
}
