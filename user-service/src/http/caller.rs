//! Who calls: the bearer's token, verified here, of a session that was not revoked.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use service::problem::{Code, Problem};
use tokens::Person;

use crate::bearer;
use crate::secret::Secret;
use crate::state::App;

/// A person who is signed in.
pub(crate) struct Caller(pub(crate) Person);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = bearer::token(header)
            .ok_or_else(|| Problem::new(Code::Unauthenticated, "a header `authorization: Bearer <token>` is needed"))?;
        Ok(Self(app.accounts.verify(&Secret::new(token.to_owned())).await?))
    }
}
