//! The refresh token: opaque to clients, 64 bytes in base64url. Redis holds digests of it alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use uuid::Uuid;

use crate::secret::Secret;

const SESSION_BYTES: usize = 16;
const FAMILY_BYTES: usize = 16;
const OWN_BYTES: usize = 32;

/// The session it belongs to, a secret that all tokens of the session share, and one of its own.
///
/// The shared secret tells an old token of the session, whoever has it, from a guess by somebody who only knows the session's id
/// (which stands in access tokens). So reuse is found however old the token is, without keeping every token that ever was.
pub(crate) struct RefreshToken {
    session: [u8; SESSION_BYTES],
    family: [u8; FAMILY_BYTES],
    own: [u8; OWN_BYTES],
}

impl RefreshToken {
    /// The first of a session.
    pub(crate) fn first(session: Uuid) -> Self {
        Self { session: session.into_bytes(), family: rand::random(), own: rand::random() }
    }

    /// The one that follows this one.
    pub(crate) fn next(&self) -> Self {
        Self { session: self.session, family: self.family, own: rand::random() }
    }

    /// Reads one as it came; `None`: it is none.
    pub(crate) fn parse(text: &Secret) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.expose()).ok()?;
        let (session, rest) = bytes.split_first_chunk()?;
        let (family, rest) = rest.split_first_chunk()?;
        Some(Self { session: *session, family: *family, own: rest.try_into().ok()? })
    }

    /// As it goes to the client.
    pub(crate) fn encode(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode([&self.session[..], &self.family[..], &self.own[..]].concat()))
    }

    /// The session it belongs to (or says so).
    pub(crate) fn session(&self) -> Uuid {
        Uuid::from_bytes(self.session)
    }

    /// Digest of what it shares with the others of its session.
    pub(crate) fn family_digest(&self) -> String {
        sha256(&self.family)
    }

    /// Digest of what it alone has.
    pub(crate) fn digest(&self) -> String {
        sha256(&self.own)
    }
}

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_its_follower_shares_only_the_family() {
        let token = RefreshToken::first(Uuid::now_v7());
        let read = RefreshToken::parse(&token.encode()).unwrap();
        assert_eq!((read.session(), read.digest()), (token.session(), token.digest()));
        let next = token.next();
        assert_eq!(next.family_digest(), token.family_digest());
        assert_ne!(next.digest(), token.digest());
        assert_eq!(token.encode().expose().len(), 86);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = RefreshToken::first(Uuid::now_v7()).encode();
        for wrong in ["", "x", "not base64!", &good.expose()[1..], &format!("{}AAAA", good.expose())] {
            assert!(RefreshToken::parse(&Secret::new(wrong.to_owned())).is_none(), "{wrong}");
        }
    }
}
