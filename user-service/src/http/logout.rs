//! `POST /v1/logout`.

use axum::extract::State;
use axum_extra::extract::CookieJar;
use http::StatusCode;
use service::problem::Problem;

use super::caller::Caller;
use super::cookie;
use crate::accounts::Outage;
use crate::state::App;

/// Ends the session: everywhere, its open sockets too.
#[utoipa::path(
    post,
    path = "/v1/logout",
    tag = "sign in",
    security(("bearer" = [])),
    responses((status = 204, description = "Signed out."))
)]
pub(crate) async fn logout(
    State(app): State<App>,
    Caller(person): Caller,
    jar: CookieJar,
) -> Result<(StatusCode, CookieJar), Problem> {
    app.accounts.sessions.end(person.user, person.session).await.map_err(Outage::Sessions)?;
    let jar = if cookie::read(&jar).is_some() { cookie::clear(jar, &app.edge) } else { jar };
    Ok((StatusCode::NO_CONTENT, jar))
}
