//! What stands in a token, and what of it has to be true.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// `typ` and `aud` of a person's token.
pub(crate) const PERSON_TYP: &str = "JWT";
const PERSON_AUDIENCE: &str = "parlor";
/// `typ` and `aud` of a service's token.
pub(crate) const SERVICE_TYP: &str = "svc+jwt";
const SERVICE_AUDIENCE: &str = "parlor-internal";
/// `sub` of a service's token begins so.
const SERVICE_SUBJECT: &str = "svc:";
/// How far the clock of who signed may be ahead. None for the end of a token: expired is expired.
const LEEWAY_SECONDS: i64 = 5;

/// Somebody whose token was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub user: Uuid,
    /// The session that the token belongs to.
    pub session: Uuid,
    /// Their name in mentions.
    pub username: String,
    /// Their name for people.
    pub display_name: String,
    /// From then on the token is no longer good.
    pub expires_at: OffsetDateTime,
}

/// A service whose token was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// From then on the token is no longer good.
    pub expires_at: OffsetDateTime,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good until its end.
    #[error("the token has expired")]
    Expired,
    /// It is none of ours, or not for this.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// It is a service's, good, and does not allow this.
    #[error("the token does not have the scope for this")]
    Scope,
    /// Its key is not known and those who know are not reachable.
    #[error("the token cannot be checked at the moment")]
    Unavailable,
}

/// What a person's token is made from.
#[derive(Debug, Clone)]
pub struct PersonClaims {
    /// Address of user-service, as everybody knows it.
    pub issuer: String,
    /// Their id.
    pub user: Uuid,
    /// The session that the token belongs to.
    pub session: Uuid,
    /// Their name in mentions.
    pub username: String,
    /// Their name for people.
    pub display_name: String,
    /// When it was made.
    pub issued_at: OffsetDateTime,
    /// From then on it is no longer good.
    pub expires_at: OffsetDateTime,
}

/// As it stands in the token. Unknown claims are ignored.
#[derive(Serialize, Deserialize)]
struct WirePerson {
    #[serde(flatten)]
    common: Common,
    sid: Uuid,
    preferred_username: String,
    #[serde(default)]
    name: String,
}

#[derive(Serialize, Deserialize)]
struct WireService {
    #[serde(flatten)]
    common: Common,
    #[serde(default)]
    scope: String,
}

#[derive(Serialize, Deserialize)]
struct Common {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
}

impl Common {
    fn check(&self, issuer: &str, audience: &str, now: OffsetDateTime) -> Result<OffsetDateTime, TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Invalid("it is from another issuer"));
        }
        if self.aud != audience {
            return Err(TokenError::Invalid("it is for another audience"));
        }
        let now = now.unix_timestamp();
        if self.exp <= now {
            return Err(TokenError::Expired);
        }
        if self.iat > now + LEEWAY_SECONDS || self.nbf.is_some_and(|nbf| nbf > now + LEEWAY_SECONDS) {
            return Err(TokenError::Invalid("it is from the future"));
        }
        OffsetDateTime::from_unix_timestamp(self.exp).map_err(|_| TokenError::Invalid("its end is no time"))
    }
}

/// The claims of a person's payload, if they hold for `issuer` at `now`.
pub(crate) fn person(payload: &[u8], issuer: &str, now: OffsetDateTime) -> Result<Person, TokenError> {
    let wire: WirePerson = parse(payload)?;
    let expires_at = wire.common.check(issuer, PERSON_AUDIENCE, now)?;
    let user = Uuid::parse_str(&wire.common.sub).map_err(|_| TokenError::Invalid("its subject is nobody"))?;
    let display_name = if wire.name.is_empty() { wire.preferred_username.clone() } else { wire.name };
    Ok(Person { user, session: wire.sid, username: wire.preferred_username, display_name, expires_at })
}

/// The claims of a service's payload, if they hold for `issuer` and `scope` at `now`.
pub(crate) fn service(payload: &[u8], issuer: &str, scope: &str, now: OffsetDateTime) -> Result<Service, TokenError> {
    let wire: WireService = parse(payload)?;
    let expires_at = wire.common.check(issuer, SERVICE_AUDIENCE, now)?;
    let name = wire.common.sub.strip_prefix(SERVICE_SUBJECT).filter(|name| !name.is_empty());
    let name = name.ok_or(TokenError::Invalid("its subject is no service"))?.to_owned();
    let scopes: Vec<String> = wire.scope.split_whitespace().map(str::to_owned).collect();
    if !scopes.iter().any(|held| held == scope) {
        return Err(TokenError::Scope);
    }
    Ok(Service { name, scopes, expires_at })
}

/// The payload of a person's token.
pub(crate) fn person_payload(claims: &PersonClaims) -> impl Serialize {
    WirePerson {
        common: Common {
            iss: claims.issuer.clone(),
            aud: PERSON_AUDIENCE.to_owned(),
            sub: claims.user.to_string(),
            exp: claims.expires_at.unix_timestamp(),
            iat: claims.issued_at.unix_timestamp(),
            nbf: None,
        },
        sid: claims.session,
        preferred_username: claims.username.clone(),
        name: claims.display_name.clone(),
    }
}

/// The payload of a service's token that is good from `now` for `life`.
pub(crate) fn service_payload(
    issuer: &str,
    name: &str,
    scopes: &[&str],
    now: OffsetDateTime,
    life: Duration,
) -> impl Serialize + use<> {
    WireService {
        common: Common {
            iss: issuer.to_owned(),
            aud: SERVICE_AUDIENCE.to_owned(),
            sub: format!("{SERVICE_SUBJECT}{name}"),
            exp: (now + life).unix_timestamp(),
            iat: now.unix_timestamp(),
            nbf: None,
        },
        scope: scopes.join(" "),
    }
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, TokenError> {
    serde_json::from_slice(payload).map_err(|_| TokenError::Invalid("its claims are not those of Parlor's tokens"))
}
