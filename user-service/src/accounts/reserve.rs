//! Names that a manifest gives are kept for those it means.

use super::fields::{self, Invalid};
use super::{Accounts, Outage};
use crate::store::names;
use crate::store::users::{self, User};

/// Asked for at once.
const MOST: usize = 500;

/// Who holds which of the names, and which are reserved.
pub(crate) struct Outcome {
    pub(crate) held: Vec<User>,
    pub(crate) reserved: Vec<String>,
}

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Reserves those that nobody holds.
    pub(crate) async fn reserve(&self, usernames: &[String]) -> Result<Outcome, Error> {
        if usernames.len() > MOST {
            return Err(Invalid { field: "usernames", rule: "must be 500 at most" }.into());
        }
        for name in usernames {
            fields::username(name)?;
        }
        Ok(self.reserve_valid(usernames).await.map_err(Outage::Store)?)
    }

    async fn reserve_valid(&self, usernames: &[String]) -> sqlx::Result<Outcome> {
        let mut transaction = self.database.pool().begin().await?;
        names::lock(&mut transaction, usernames).await?;
        let reserved = names::reserve(&mut transaction, usernames).await?;
        let held = users::find(&mut transaction, &[], usernames).await?;
        transaction.commit().await?;
        Ok(Outcome { held, reserved })
    }
}
