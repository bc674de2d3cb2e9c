//! JWS in its compact form, and of that only what Parlor signs: Ed25519, a `kid`, a `typ`. There is no other algorithm to choose.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// Longer tokens are not looked at.
pub(crate) const TOKEN_BYTES: usize = 8 * 1024;
const HEADER_BYTES: usize = 512;
/// Longest name of a key.
const KID_BYTES: usize = 64;
const ALGORITHM: &str = "EdDSA";

/// A public key of Ed25519.
pub(crate) type PublicKey = [u8; 32];

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
    /// Extensions that a reader has to understand: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<Vec<String>>,
}

/// A token that has been taken apart and is not to be trusted yet.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    kid: String,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a token of this `typ` apart; an error says what is wrong with it.
    pub(crate) fn parse(token: &'a str, typ: &str) -> Result<Self, &'static str> {
        if token.len() > TOKEN_BYTES {
            return Err("it is too long");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("it is no JWT")?;
        let (header, payload) = signed.split_once('.').ok_or("it is no JWT")?;
        if header.len() > HEADER_BYTES || payload.contains('.') {
            return Err("it is no JWT");
        }
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| "its header is not one of Parlor's tokens")?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return Err("its algorithm is not EdDSA");
        }
        if header.typ != typ {
            return Err("it is of another kind");
        }
        if !is_kid(&header.kid) {
            return Err("its key has no name");
        }
        Ok(Self { kid: header.kid, signed, payload, signature: decode(signature)? })
    }

    /// Name of the key that it says it is signed with.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// Its payload, if it is signed with this key.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, &'static str> {
        UnparsedPublicKey::new(&ED25519, key)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| "its signature is wrong")?;
        decode(self.payload)
    }
}

/// A token of this `typ` with these claims.
pub(crate) fn sign(
    pair: &Ed25519KeyPair,
    kid: &str,
    typ: &str,
    claims: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let header = Header { alg: ALGORITHM.to_owned(), typ: typ.to_owned(), kid: kid.to_owned(), crit: None };
    let encode = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let signed = format!("{}.{}", encode(serde_json::to_vec(&header)?), encode(serde_json::to_vec(claims)?));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

/// Whether a text may name a key: 1 to 64 letters, digits, `.`, `_` or `-`.
pub(crate) fn is_kid(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= KID_BYTES && text.bytes().all(plain)
}

fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "it is no JWT")
}
