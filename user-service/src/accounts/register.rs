//! A new account, for whoever the configuration lets in.

use uuid::Uuid;

use super::fields::{self, Invalid};
use super::{Accounts, Outage, invite};
use crate::args::Registration;
use crate::secret::Secret;
use crate::store::users::User;
use crate::store::{invites, names, users};

/// What somebody wants to be registered with.
pub(crate) struct Request {
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) display_name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) invite: Option<Secret>,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("registration is closed")]
    Closed,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("an invite is needed for this")]
    InviteRequired,
    #[error("the invite is not good for this: used, expired, or for another name")]
    InviteInvalid,
    #[error("somebody has this username")]
    UsernameTaken,
    #[error(transparent)]
    Outage(#[from] Outage),
}

impl Accounts {
    /// Registers.
    pub(crate) async fn register(&self, request: Request) -> Result<User, Error> {
        if self.registration == Registration::Closed {
            return Err(Error::Closed);
        }
        check(&request)?;
        let Request { username, password, display_name, email, invite } = request;
        let applicant = Applicant {
            display_name: display_name.unwrap_or_else(|| username.clone()),
            username,
            email,
            invite: invite.as_ref().map(invite::digest),
        };
        // Asked before the hash is computed, which costs more than all the rest, and again when it counts.
        self.admit(&applicant).await?;
        let hash = self.passwords.hash(password).await.map_err(Outage::Passwords)?;
        self.enrol(&applicant, &hash).await
    }

    async fn admit(&self, applicant: &Applicant) -> Result<(), Error> {
        let mut connection = self.database.pool().acquire().await.map_err(Outage::Store)?;
        let reserved = names::is_reserved(&mut connection, &applicant.username).await.map_err(Outage::Store)?;
        let invited = match &applicant.invite {
            None => None,
            Some(invite) => Some(
                invites::is_good(&mut connection, invite, &applicant.username, reserved)
                    .await
                    .map_err(Outage::Store)?,
            ),
        };
        drop(connection);
        let taken = users::is_taken(self.database.pool(), &applicant.username).await.map_err(Outage::Store)?;
        // Whoever may not register learns nothing about who is registered.
        match invited {
            None if self.registration == Registration::Invite => Err(Error::InviteRequired),
            Some(false) if self.registration == Registration::Invite => Err(Error::InviteInvalid),
            _ if taken => Err(Error::UsernameTaken),
            None if reserved => Err(Error::InviteRequired),
            Some(false) => Err(Error::InviteInvalid),
            _ => Ok(()),
        }
    }

    async fn enrol(&self, applicant: &Applicant, hash: &str) -> Result<User, Error> {
        let username = applicant.username.as_str();
        let mut transaction = self.database.pool().begin().await.map_err(Outage::Store)?;
        names::lock(&mut transaction, std::slice::from_ref(&applicant.username)).await.map_err(Outage::Store)?;
        let reserved = names::is_reserved(&mut transaction, username).await.map_err(Outage::Store)?;
        if reserved && applicant.invite.is_none() {
            return Err(Error::InviteRequired);
        }
        let id = Uuid::now_v7();
        let (name, email) = (applicant.display_name.as_str(), applicant.email.as_deref());
        let inserted = users::insert(&mut transaction, id, username, name, email, hash).await.map_err(Outage::Store)?;
        let user = inserted.ok_or(Error::UsernameTaken)?;
        if let Some(invite) = &applicant.invite {
            let consumed = invites::consume(&mut transaction, invite, username, reserved, id).await;
            if !consumed.map_err(Outage::Store)? {
                return Err(Error::InviteInvalid);
            }
        }
        names::release(&mut transaction, username).await.map_err(Outage::Store)?;
        transaction.commit().await.map_err(Outage::Store)?;
        Ok(user)
    }
}

/// A request whose fields are right, without its password.
struct Applicant {
    username: String,
    display_name: String,
    email: Option<String>,
    /// Digest of the invite.
    invite: Option<Vec<u8>>,
}

fn check(request: &Request) -> Result<(), Invalid> {
    fields::username(&request.username)?;
    fields::password("password", &request.password)?;
    request.display_name.as_deref().map_or(Ok(()), fields::display_name)?;
    request.email.as_deref().map_or(Ok(()), fields::email)
}
