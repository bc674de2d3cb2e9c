//! Whose access token it is, and whether its session still stands.

use tokens::{Person, TokenError};

use super::Accounts;
use crate::secret::Secret;

/// Why the token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the token is not accepted")]
    Token(#[source] TokenError),
    #[error("the session has ended")]
    Revoked,
}

impl Accounts {
    /// Verifies a person's token here, then asks whether its session was revoked.
    pub(crate) async fn verify(&self, token: &Secret) -> Result<Person, Error> {
        let person = self.verifier.person(token.expose()).await.map_err(Error::Token)?;
        if self.revocations.has(person.session).await {
            return Err(Error::Revoked);
        }
        Ok(person)
    }
}
