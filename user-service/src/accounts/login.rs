//! A name and a password become a session. Who does not exist and who has another password get one answer, after one time.

use uuid::Uuid;

use super::fields::{self, Invalid};
use super::grant::Grant;
use super::{Accounts, Outage};
use crate::secret::Secret;
use crate::sessions::{Holder, RefreshToken};
use crate::store::users::{self, Credentials, User};

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("username or password is wrong")]
    Refused,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Signs in, from a device that the person may have given a name.
    pub(crate) async fn login(&self, username: &str, password: Secret, device: Option<&str>) -> Result<Grant, Error> {
        device.map_or(Ok(()), fields::device)?;
        // What cannot be a name is not asked for, but takes its time like the others.
        let found = if contract::username::is_valid(username) {
            users::credentials(self.database.pool(), username).await.map_err(Outage::Store)?
        } else {
            None
        };
        let (user, hash) =
            found.map_or((None, None), |Credentials { user, password_hash }| (Some(user), Some(password_hash)));
        let right = self.passwords.verify(password, hash).await.map_err(Outage::Passwords)?;
        let user = user.filter(|_| right).ok_or(Error::Refused)?;
        let grant = self.issuer.grant(holder(user), RefreshToken::first(Uuid::now_v7()))?;
        self.sessions
            .create(&grant.refresh, &grant.holder, device.unwrap_or_default())
            .await
            .map_err(Outage::Sessions)?;
        Ok(grant)
    }
}

/// The part of an account that tokens tell.
pub(crate) fn holder(user: User) -> Holder {
    Holder { user: user.id, username: user.username, display_name: user.display_name }
}
