//! A refresh token becomes the next pair. All that can fail happens before the token counts as used.

use super::grant::Grant;
use super::login::holder;
use super::{Accounts, Outage};
use crate::secret::Secret;
use crate::sessions::{Holder, RefreshToken, Rotation};
use crate::store::users;

/// Why there is no new pair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the refresh token is not valid (any more)")]
    Refused,
    #[error("the refresh token had been used before, so its session is over")]
    Reused,
    #[error("the refresh token was used too often within seconds")]
    Crowded,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Prolongs a session.
    pub(crate) async fn refresh(&self, token: &Secret) -> Result<Grant, Error> {
        let token = RefreshToken::parse(token).ok_or(Error::Refused)?;
        let known = self.sessions.holder(token.session()).await.map_err(Outage::Sessions)?.ok_or(Error::Refused)?;
        let holder = self.current(known).await?;
        let grant = self.issuer.grant(holder, token.next())?;
        let rotation = self.sessions.rotate(&token, &grant.refresh, &grant.holder).await.map_err(Outage::Sessions)?;
        match rotation {
            Rotation::Rotated => Ok(grant),
            Rotation::Unknown | Rotation::Void => Err(Error::Refused),
            Rotation::Crowded => Err(Error::Crowded),
            Rotation::Reused => {
                tracing::warn!(
                    user = %grant.holder.user,
                    session = %token.session(),
                    "a used refresh token came again: the session is revoked"
                );
                Err(Error::Reused)
            }
        }
    }

    /// As they are called now. While PostgreSQL is down, as the session remembers, so that nobody is signed out by that.
    async fn current(&self, known: Holder) -> Result<Holder, Error> {
        match users::by_id(self.database.pool(), known.user).await {
            Ok(Some(user)) => Ok(holder(user)),
            Ok(None) => Err(Error::Refused),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "refreshing with the names of last time");
                Ok(known)
            }
        }
    }
}
