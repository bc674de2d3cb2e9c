//! From what the verbs say to what callers are told: the only place where error words are chosen.

use std::error::Error as _;
use std::time::Duration;

use service::problem::{Code, Problem};
use tokens::TokenError;

use crate::accounts::{
    Outage, change_password, fields, find, invite, login, profile, refresh, register, reserve, verify,
};
use crate::passwords;

/// When to come again after an outage whose end nobody knows.
const SOON: Duration = Duration::from_secs(2);

impl From<fields::Invalid> for Problem {
    fn from(error: fields::Invalid) -> Self {
        Problem::new(Code::Invalid, error.to_string()).reason(error.field)
    }
}

impl From<Outage> for Problem {
    fn from(outage: Outage) -> Self {
        match &outage {
            Outage::Store(error) if is_outage(error) => {
                unavailable("the accounts cannot be read now").reason("database")
            }
            Outage::Sessions(_) => unavailable("the sessions cannot be reached now").reason("sessions"),
            Outage::Passwords(passwords::Error::Busy) => {
                Problem::new(Code::Unavailable, "too many passwords are being checked").reason("busy").retry_after(SOON)
            }
            Outage::Sign(_) => unavailable("there is no key to sign with").reason("keys"),
            Outage::Store(_) | Outage::Passwords(_) => {
                tracing::error!(error = &outage as &dyn std::error::Error, "a request failed");
                Problem::new(Code::Internal, "something went wrong here")
            }
        }
    }
}

impl From<register::Error> for Problem {
    fn from(error: register::Error) -> Self {
        let text = error.to_string();
        match error {
            register::Error::Closed => Problem::new(Code::Forbidden, text).reason("registration_closed"),
            register::Error::InviteRequired => Problem::new(Code::Forbidden, text).reason("invite_required"),
            register::Error::InviteInvalid => Problem::new(Code::Forbidden, text).reason("invite_invalid"),
            register::Error::UsernameTaken => Problem::new(Code::Conflict, text).reason("username_taken"),
            register::Error::Invalid(invalid) => invalid.into(),
            register::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<login::Error> for Problem {
    fn from(error: login::Error) -> Self {
        let text = error.to_string();
        match error {
            login::Error::Refused => Problem::new(Code::Unauthenticated, text).reason("wrong_credentials"),
            login::Error::Invalid(invalid) => invalid.into(),
            login::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<refresh::Error> for Problem {
    fn from(error: refresh::Error) -> Self {
        let text = error.to_string();
        match error {
            refresh::Error::Refused => Problem::new(Code::Unauthenticated, text).reason("refresh_token_invalid"),
            refresh::Error::Reused => Problem::new(Code::Unauthenticated, text).reason("refresh_token_reused"),
            refresh::Error::Crowded => {
                Problem::new(Code::RateLimited, text).reason("refresh_token").retry_after(Duration::from_secs(10))
            }
            refresh::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<profile::Error> for Problem {
    fn from(error: profile::Error) -> Self {
        let text = error.to_string();
        match error {
            profile::Error::Unknown => Problem::new(Code::NotFound, text),
            profile::Error::Invalid(invalid) => invalid.into(),
            profile::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<change_password::Error> for Problem {
    fn from(error: change_password::Error) -> Self {
        let text = error.to_string();
        match error {
            change_password::Error::WrongPassword => Problem::new(Code::Forbidden, text).reason("wrong_password"),
            change_password::Error::Invalid(invalid) => invalid.into(),
            change_password::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<invite::Error> for Problem {
    fn from(error: invite::Error) -> Self {
        let text = error.to_string();
        match error {
            invite::Error::UsernameTaken => Problem::new(Code::Conflict, text).reason("username_taken"),
            invite::Error::Invalid(invalid) => invalid.into(),
            invite::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<find::Error> for Problem {
    fn from(error: find::Error) -> Self {
        match error {
            find::Error::Invalid(invalid) => invalid.into(),
            find::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<reserve::Error> for Problem {
    fn from(error: reserve::Error) -> Self {
        match error {
            reserve::Error::Invalid(invalid) => invalid.into(),
            reserve::Error::Outage(outage) => outage.into(),
        }
    }
}

impl From<verify::Error> for Problem {
    fn from(error: verify::Error) -> Self {
        let text = error.to_string();
        match error {
            verify::Error::Token(error) => token(&error),
            verify::Error::Revoked => Problem::new(Code::Unauthenticated, text).reason("revoked"),
        }
    }
}

/// What a caller hears whose token was refused.
pub(crate) fn token(error: &TokenError) -> Problem {
    match error {
        TokenError::Expired => Problem::new(Code::TokenExpired, "the token has expired"),
        TokenError::Invalid(why) => Problem::new(Code::Unauthenticated, format!("the token is not accepted: {why}")),
        TokenError::Scope => Problem::new(Code::Forbidden, "the token does not have the scope for this"),
        TokenError::Unavailable => unavailable("the token cannot be verified now").reason("keys"),
    }
}

fn unavailable(detail: &'static str) -> Problem {
    Problem::new(Code::Unavailable, detail).retry_after(SOON)
}

/// Whether PostgreSQL could not be asked, rather than refused what it was asked.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        // A connection that breaks off while it is being made shows as the last of these.
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_) => true,
        // 08: connection, 53: resources, 57: shutting down or a statement's time is over, 40: lost a race, 42P01: not migrated yet.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "53", "57", "40", "42P01"].iter().any(|class| code.starts_with(class))),
        _ => error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>),
    }
}
