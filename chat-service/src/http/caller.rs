//! Who calls: a bearer token, good and of a session that stands.

use crate::state::State;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use contract::event::User;
use service::problem::{Code, Problem};
use tokens::{Person, TokenError};

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) User);

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let token =
            bearer(&parts.headers).ok_or_else(|| Problem::new(Code::Unauthenticated, "a bearer token is needed"))?;
        Ok(Self(user(person(state, token).await?)))
    }
}

/// The token of `authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whose token this is.
pub(crate) async fn person(state: &State, token: &str) -> Result<Person, Problem> {
    let person = state.verifier.person(token).await.map_err(problem)?;
    if state.users.is_revoked(person.session) {
        return Err(Problem::new(Code::Unauthenticated, "the session was ended: sign in again").reason("revoked"));
    }
    Ok(person)
}

/// As events name them.
pub(crate) fn user(person: Person) -> User {
    User { id: person.user, username: person.username, display_name: person.display_name }
}

/// What is said of a token that was not accepted.
pub(crate) fn problem(error: TokenError) -> Problem {
    match error {
        TokenError::Expired => Problem::new(Code::TokenExpired, "the token has expired: refresh it"),
        TokenError::Invalid(_) => Problem::new(Code::Unauthenticated, error.to_string()),
        TokenError::Scope => Problem::new(Code::Forbidden, error.to_string()),
        TokenError::Unavailable => {
            Problem::new(Code::Unavailable, "the token cannot be checked at the moment").reason("keys")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_and_nothing_else() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(of("bearer  a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(of("Basic YWxhZGRpbg=="), None);
        assert_eq!(of("a.b.c"), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
