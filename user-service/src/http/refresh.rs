//! `POST /v1/refresh`, with the token in the body or as a cookie.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use axum_extra::extract::CookieJar;
use http::HeaderMap;
use serde::Deserialize;
use service::extract::{Json, bytes_problem};
use service::problem::{Code, Problem};
use utoipa::ToSchema;

use super::answers::{self, Tokens};
use super::cookie;
use crate::accounts::refresh::Error;
use crate::secret::Secret;
use crate::state::App;
use service::openapi::ProblemDocument;

/// The refresh token, unless it is in the cookie.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct Refresh {
    #[schema(value_type = Option<String>)]
    refresh_token: Option<Secret>,
}

/// Trades a refresh token for the next pair. Each is good once; its answer may be lost: within 10 seconds it is forgiven.
#[utoipa::path(
    post,
    path = "/v1/refresh",
    tag = "sign in",
    request_body(content = Refresh, description = "May be absent where the cookie is there."),
    security((), ("cookie" = [])),
    responses(
        (status = 200, description = "The next pair.", body = Tokens),
        (status = 401, description = "`refresh_token_invalid`, or `refresh_token_reused`: the session is over.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The cookie came from another page.", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    jar: CookieJar,
    headers: HeaderMap,
    MaybeEmpty(body): MaybeEmpty,
) -> Result<Response, Problem> {
    let (token, from_cookie) = match (body.refresh_token, cookie::read(&jar)) {
        (Some(token), _) => (token, false),
        (None, Some(token)) => {
            cookie::require_own_page(&headers, &app.edge)?;
            (token, true)
        }
        (None, None) => return Err(Problem::new(Code::Unauthenticated, "a refresh token is needed")),
    };
    let outcome = app.accounts.refresh(&token).await;
    let word = match &outcome {
        Ok(_) => "granted",
        Err(Error::Outage(_)) => "failed",
        Err(_) => "refused",
    };
    metrics::counter!("parlor_users_refreshes_total", "outcome" => word).increment(1);
    Ok(answers::tokens(outcome?, jar, from_cookie, &app.edge))
}

/// The body, of which nothing is as good as `{}`.
pub(crate) struct MaybeEmpty(Refresh);

impl FromRequest<App> for MaybeEmpty {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| bytes_problem(&rejection))?;
        if bytes.is_empty() {
            return Ok(Self(Refresh::default()));
        }
        let mut request = Request::new(Body::from(bytes));
        *request.headers_mut() = headers;
        let Json(refresh) = Json::from_request(request, app).await?;
        Ok(Self(refresh))
    }
}
