//! What the service does for people and programs, one verb per file. Knows neither HTTP nor gRPC.

use service::database::Database;
use tokens::keys::KeysError;

use crate::args::Registration;
use crate::passwords::{self, Passwords};
use crate::revocations::Revocations;
use crate::sessions::{self, Sessions};

pub(crate) mod change_password;
pub(crate) mod fields;
pub(crate) mod find;
pub(crate) mod grant;
pub(crate) mod invite;
pub(crate) mod login;
pub(crate) mod profile;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod reserve;
pub(crate) mod verify;

/// What the verbs work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(crate) database: Database,
    pub(crate) sessions: Sessions,
    pub(crate) revocations: Revocations,
    pub(crate) passwords: Passwords,
    pub(crate) issuer: grant::Issuer,
    pub(crate) verifier: tokens::Verifier,
    pub(crate) registration: Registration,
}

/// Something behind the verbs that did not work; the same request may succeed later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Outage {
    /// PostgreSQL.
    #[error("failed to ask PostgreSQL")]
    Store(#[source] sqlx::Error),
    /// Redis.
    #[error("failed to reach the sessions")]
    Sessions(#[source] sessions::Error),
    /// Hashing.
    #[error("failed to check a password")]
    Passwords(#[source] passwords::Error),
    /// Signing.
    #[error("failed to sign an access token")]
    Sign(#[source] KeysError),
}
