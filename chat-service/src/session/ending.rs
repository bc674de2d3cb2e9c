//! How a socket ends: with which code, what is still written, and what the client is told before the close frame.

use super::connect::Rejected;
use super::{Phase, Session};
use crate::store::read_pointers;
use rand::RngExt;
use service::problem::{Code, Problem};
use std::time::Duration;
use time::OffsetDateTime;
use tokens::{Person, TokenError};

/// Why and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// `None`: the peer has gone.
    code: Option<u16>,
    /// What waits is not written any more.
    clear: bool,
}

impl Ending {
    /// The peer has gone.
    pub(super) fn gone() -> Self {
        Self { code: None, clear: true }
    }

    /// With this code, after what waits.
    pub(super) fn code(code: u16) -> Self {
        Self { code: Some(code), clear: false }
    }

    /// This gateway stops.
    pub(super) fn leave() -> Self {
        Self::code(3001)
    }

    /// The session was ended: nothing more for it.
    pub(super) fn revoked() -> Self {
        Self { code: Some(3503), clear: true }
    }

    /// The peer does not take what it gets.
    pub(super) fn too_slow() -> Self {
        Self { code: Some(3008), clear: true }
    }
}

/// What the client hears of a token that was not good.
pub(super) fn problem(rejected: Rejected) -> Problem {
    match rejected {
        Rejected::Token(TokenError::Expired) => Problem::new(Code::TokenExpired, "the token has expired: refresh it"),
        Rejected::Token(TokenError::Unavailable) => {
            Problem::new(Code::Unavailable, "the token cannot be checked at the moment").reason("keys")
        }
        Rejected::Token(error) => Problem::new(Code::Unauthenticated, error.to_string()),
        Rejected::Revoked => {
            Problem::new(Code::Unauthenticated, "the session was ended: sign in again").reason("revoked")
        }
    }
}

/// How a `connect` with such a token ends; `None`: it may be tried again.
pub(super) fn of_rejected(rejected: Rejected) -> Option<Ending> {
    match rejected {
        Rejected::Token(TokenError::Expired) => Some(Ending::code(3005)),
        Rejected::Token(TokenError::Unavailable) => None,
        Rejected::Token(TokenError::Invalid(_) | TokenError::Scope) => Some(Ending::code(3500)),
        Rejected::Revoked => Some(Ending::code(3503)),
    }
}

/// How long a person's token is still good.
pub(super) fn left(person: &Person) -> Duration {
    Duration::try_from(person.expires_at - OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO)
}

/// When to come back: many leave at once, they must not return at once.
fn retry_after(code: u16) -> Option<Duration> {
    let milliseconds = match code {
        3001 | 3005 | 3008 | 3010 | 3012 => 100..1_500,
        3013 => 1_000..5_000,
        _ => return None,
    };
    Some(Duration::from_millis(rand::rng().random_range(milliseconds)))
}

impl Session {
    /// Ends the socket.
    pub(super) async fn end(mut self, ending: Ending) {
        let label = ending.code.map_or_else(|| "gone".to_owned(), |code| code.to_string());
        metrics::counter!("parlor_sockets_closed_total", "code" => label).increment(1);
        if let Phase::Online(online) = self.phase {
            let (user, pointers) = online.end();
            if !pointers.is_empty() {
                let pool = self.state.pool.clone();
                // Lost at worst: the client still knows where it was.
                tokio::spawn(async move {
                    if let Err(error) = read_pointers::advance(&pool, user, &pointers).await {
                        tracing::debug!(%error, "read pointers of a socket that ended are not stored");
                    }
                });
            }
        }
        // What is on its way goes its way without us.
        drop(self.work);
        if ending.clear {
            self.socket.clear();
        }
        if let Some(code) = ending.code.filter(|code| (3000..4000).contains(code)) {
            self.socket.push(super::say::disconnect(code, retry_after(code)));
        }
        self.socket.close(ending.code).await;
        drop(self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_connect_a_forged_token_is_the_end_and_an_expired_one_is_not() {
        let said = |rejected| (problem(rejected).code.word(), of_rejected(rejected).and_then(|ending| ending.code));
        assert_eq!(said(Rejected::Token(TokenError::Invalid("x"))), ("unauthenticated", Some(3500)));
        assert_eq!(said(Rejected::Token(TokenError::Scope)), ("unauthenticated", Some(3500)));
        assert_eq!(said(Rejected::Token(TokenError::Expired)), ("token_expired", Some(3005)));
        assert_eq!(said(Rejected::Token(TokenError::Unavailable)), ("unavailable", None));
        assert_eq!(said(Rejected::Revoked), ("unauthenticated", Some(3503)));
    }

    #[test]
    fn codes_that_mean_come_back_say_when() {
        for code in [3001, 3005, 3008, 3012, 3013] {
            assert!(retry_after(code).unwrap() >= Duration::from_millis(100));
        }
        assert_eq!(retry_after(3500).or(retry_after(3503)), None);
    }
}
