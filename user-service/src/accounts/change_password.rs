//! Another password, for whoever knows the one before. All other sessions end.

use tokens::Person;

use super::fields::{self, Invalid};
use super::{Accounts, Outage};
use crate::secret::Secret;
use crate::store::users;

/// Why the password stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the current password is another one")]
    WrongPassword,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Changes the password of whoever asks.
    pub(crate) async fn change_password(&self, person: &Person, current: Secret, new: Secret) -> Result<(), Error> {
        fields::password("new", &new)?;
        let found = users::credentials(self.database.pool(), &person.username).await.map_err(Outage::Store)?;
        let old_hash = found.map(|credentials| credentials.password_hash);
        if !self.passwords.verify(current, old_hash.clone()).await.map_err(Outage::Passwords)? {
            return Err(Error::WrongPassword);
        }
        let new_hash = self.passwords.hash(new).await.map_err(Outage::Passwords)?;
        let mut transaction = self.database.pool().begin().await.map_err(Outage::Store)?;
        let (user, old_hash) = (person.user, old_hash.unwrap_or_default());
        if !users::set_password(&mut transaction, user, &old_hash, &new_hash).await.map_err(Outage::Store)? {
            return Err(Error::WrongPassword);
        }
        // Before the commit: with Redis down nothing changes, rather than a new password beside sessions that nobody could end.
        self.sessions.end_others(user, person.session).await.map_err(Outage::Sessions)?;
        transaction.commit().await.map_err(Outage::Store)?;
        // And after it, for whoever signed in with the old password in between.
        if let Err(error) = self.sessions.end_others(user, person.session).await {
            tracing::warn!(error = &error as &dyn std::error::Error, %user, "failed to look for other sessions once more");
        }
        Ok(())
    }
}
