//! `POST /v1/me/password`.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use service::extract::Json;
use service::problem::Problem;
use utoipa::ToSchema;

use super::caller::Caller;
use crate::secret::Secret;
use crate::state::App;
use service::openapi::ProblemDocument;

/// The password now and the one to come.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PasswordChange {
    #[schema(value_type = String, format = Password)]
    current: Secret,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 256)]
    new: Secret,
}

/// Changes the caller's password; all other sessions end.
#[utoipa::path(
    post,
    path = "/v1/me/password",
    operation_id = "change_password",
    tag = "me",
    security(("bearer" = [])),
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed."),
        (status = 403, description = "`wrong_password`: the current one is another.", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change(
    State(app): State<App>,
    Caller(person): Caller,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    app.limits.password_change(person.user).await?;
    app.accounts.change_password(&person, body.current, body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}
