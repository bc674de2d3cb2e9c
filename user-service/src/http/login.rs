//! `POST /v1/login`.

use axum::extract::State;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use service::extract::Json;
use service::problem::Problem;
use utoipa::ToSchema;

use super::address::ClientAddress;
use super::answers::{self, Tokens};
use super::openapi::Line;
use crate::accounts::login::Error;
use crate::secret::Secret;
use crate::state::App;
use service::openapi::ProblemDocument;

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    #[schema(example = "alice")]
    username: String,
    #[schema(value_type = String, format = Password)]
    password: Secret,
    /// Shown in the list of sessions.
    #[schema(value_type = Option<Line>)]
    device: Option<String>,
    /// True: the refresh token comes as an HttpOnly cookie instead.
    cookie: Option<bool>,
}

/// Signs in: begins a session.
#[utoipa::path(
    post,
    path = "/v1/login",
    tag = "sign in",
    request_body = Login,
    responses(
        (status = 200, description = "Signed in.", body = Tokens),
        (status = 401, description = "Username or password is wrong.", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn login(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    jar: CookieJar,
    Json(body): Json<Login>,
) -> Result<Response, Problem> {
    app.limits.login(address, &body.username).await?;
    let outcome = app.accounts.login(&body.username, body.password, body.device.as_deref()).await;
    let word = match &outcome {
        Ok(_) => "granted",
        Err(Error::Outage(_)) => "failed",
        Err(_) => "refused",
    };
    metrics::counter!("parlor_users_logins_total", "outcome" => word).increment(1);
    Ok(answers::tokens(outcome?, jar, body.cookie.unwrap_or(false), &app.edge))
}
