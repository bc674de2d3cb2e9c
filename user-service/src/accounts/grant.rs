//! What a person gets who signed in: an access token, and a refresh token for the next one.

use std::time::Duration;

use time::OffsetDateTime;
use tokens::keys::KeysError;
use tokens::{Keys, PersonClaims};
use uuid::Uuid;

use super::Outage;
use crate::secret::Secret;
use crate::sessions::{Holder, RefreshToken};

/// A pair of tokens and whose they are.
pub(crate) struct Grant {
    pub(crate) access: Secret,
    pub(crate) access_life: Duration,
    pub(crate) refresh: RefreshToken,
    pub(crate) holder: Holder,
}

/// Signs access tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer {
    keys: Keys,
    name: String,
    access_life: Duration,
}

impl Issuer {
    /// `name`: the `iss`.
    pub(crate) fn new(keys: Keys, name: String, access_life: Duration) -> Self {
        Self { keys, name, access_life }
    }

    /// An access token of this session, and the refresh token that goes with it.
    pub(crate) fn grant(&self, holder: Holder, refresh: RefreshToken) -> Result<Grant, Outage> {
        let access = self.sign(&holder, refresh.session()).map_err(Outage::Sign)?;
        Ok(Grant { access, access_life: self.access_life, refresh, holder })
    }

    fn sign(&self, holder: &Holder, session: Uuid) -> Result<Secret, KeysError> {
        let now = OffsetDateTime::now_utc();
        let claims = PersonClaims {
            issuer: self.name.clone(),
            user: holder.user,
            session,
            username: holder.username.clone(),
            display_name: holder.display_name.clone(),
            issued_at: now,
            expires_at: now + self.access_life,
        };
        self.keys.sign_person(&claims).map(Secret::new)
    }
}
