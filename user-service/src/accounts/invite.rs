//! An invite: 32 random bytes that allow registering once.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest as sha256};
use time::OffsetDateTime;

use super::fields::{self, Invalid};
use super::{Accounts, Outage};
use crate::secret::Secret;
use crate::store::{invites, users};

/// Where nothing else is asked for.
const LIFE: Duration = Duration::from_hours(7 * 24);
/// The longest that may be asked for.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// What is handed to the person.
pub(crate) struct Invite {
    pub(crate) token: Secret,
    pub(crate) expires_at: OffsetDateTime,
}

/// Why there is no invite.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("somebody has this username")]
    UsernameTaken,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Makes an invite, for this name alone or for any free one.
    pub(crate) async fn invite(&self, username: Option<&str>, life: Option<Duration>) -> Result<Invite, Error> {
        let life = life.unwrap_or(LIFE);
        if life > LONGEST {
            return Err(Invalid { field: "ttl_seconds", rule: "must be at most a year" }.into());
        }
        if let Some(username) = username {
            fields::username(username)?;
            if users::is_taken(self.database.pool(), username).await.map_err(Outage::Store)? {
                return Err(Error::UsernameTaken);
            }
        }
        let token = Secret::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let expires_at = OffsetDateTime::now_utc() + life;
        let mut connection = self.database.pool().acquire().await.map_err(Outage::Store)?;
        invites::insert(&mut connection, &digest(&token), username, expires_at).await.map_err(Outage::Store)?;
        Ok(Invite { token, expires_at })
    }
}

/// What of an invite is stored.
pub(crate) fn digest(token: &Secret) -> Vec<u8> {
    sha256(&SHA256, token.expose().as_bytes()).as_ref().to_vec()
}
