//! What answers are made of.

use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;
use http::HeaderName;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cookie;
use crate::accounts::grant::Grant;
use crate::sessions::Holder;
use crate::state::Edge;
use crate::store::users;

/// Tokens are nobody's to keep on the way.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// RFC 3339 in UTC with milliseconds.
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A person, as others see them.
#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    /// UUIDv7.
    id: Uuid,
    /// Unique, never given to another person.
    username: String,
    /// Free text.
    display_name: String,
}

impl From<users::User> for User {
    fn from(user: users::User) -> Self {
        Self { id: user.id, username: user.username, display_name: user.display_name }
    }
}

impl From<Holder> for User {
    fn from(holder: Holder) -> Self {
        Self { id: holder.user, username: holder.username, display_name: holder.display_name }
    }
}

/// A pair of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// JWT for `authorization: Bearer`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 600)]
    expires_in: u64,
    /// For `POST /v1/refresh`, once; absent where it came as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    user: User,
}

/// Hands a pair out, the refresh token in the body or as a cookie.
pub(crate) fn tokens(grant: Grant, jar: CookieJar, as_cookie: bool, edge: &Edge) -> Response {
    let refresh = grant.refresh.encode();
    let body = Tokens {
        access_token: grant.access.expose().to_owned(),
        token_type: "Bearer",
        expires_in: grant.access_life.as_secs(),
        refresh_token: (!as_cookie).then(|| refresh.expose().to_owned()),
        user: grant.holder.into(),
    };
    let jar = if as_cookie { cookie::set(jar, &refresh, edge) } else { jar };
    (jar, NO_STORE, axum::Json(body)).into_response()
}

/// A time, as all answers tell it.
pub(crate) fn moment(time: OffsetDateTime) -> String {
    // Writing to a string fails for no time that there is.
    time.to_offset(UtcOffset::UTC).format(MOMENT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(moment(datetime!(2026-01-02 03:04:05.0678 +1)), "2026-01-02T02:04:05.067Z");
    }
}
