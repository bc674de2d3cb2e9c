//! Accounts by id or by name, for other services.

use uuid::Uuid;

use super::fields::{self, Invalid};
use super::{Accounts, Outage};
use crate::store::users::{self, User};

/// Asked for at once.
const MOST: usize = 500;

/// Why nobody was looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Those who exist, each once.
    pub(crate) async fn find(&self, ids: &[String], usernames: &[String]) -> Result<Vec<User>, Error> {
        let (field, rule) = ("ids", "and `usernames` must be 500 together at most");
        if ids.len() + usernames.len() > MOST {
            return Err(Invalid { field, rule }.into());
        }
        let ids: Result<Vec<Uuid>, _> = ids.iter().map(|id| id.parse()).collect();
        let ids = ids.map_err(|_| Invalid { field, rule: "must be UUIDs" })?;
        for name in usernames {
            fields::username(name)?;
        }
        let mut connection = self.database.pool().acquire().await.map_err(Outage::Store)?;
        Ok(users::find(&mut connection, &ids, usernames).await.map_err(Outage::Store)?)
    }
}
