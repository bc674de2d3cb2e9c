//! What people see and change of their own account.

use uuid::Uuid;

use super::fields::{self, Invalid};
use super::{Accounts, Outage};
use crate::store::users::{self, User};

/// What to do about the address of mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum EmailChange {
    /// Nothing.
    #[default]
    Keep,
    /// Take it away.
    Remove,
    /// Another one.
    Set(String),
}

/// Why nothing was shown or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such account")]
    Unknown,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// The account.
    pub(crate) async fn profile(&self, user: Uuid) -> Result<User, Error> {
        users::by_id(self.database.pool(), user).await.map_err(Outage::Store)?.ok_or(Error::Unknown)
    }

    /// Changes what is given.
    pub(crate) async fn change_profile(
        &self,
        user: Uuid,
        display_name: Option<&str>,
        email: &EmailChange,
    ) -> Result<User, Error> {
        display_name.map_or(Ok(()), fields::display_name)?;
        let (changed, email) = match email {
            EmailChange::Keep => (false, None),
            EmailChange::Remove => (true, None),
            EmailChange::Set(address) => (true, Some(address.as_str())),
        };
        email.map_or(Ok(()), fields::email)?;
        let updated = users::update(self.database.pool(), user, display_name, changed, email).await;
        updated.map_err(Outage::Store)?.ok_or(Error::Unknown)
    }
}
