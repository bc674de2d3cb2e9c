//! A folder of signing keys and tokens signed with them, as `cargo xtask up` makes them, for programs that a test starts itself
//! and for forgeries.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

/// One private key; its name is the `kid`.
pub struct Key {
    /// Name of its file without `.pem`.
    pub kid: String,
    pair: Ed25519KeyPair,
    pem: String,
}

impl Key {
    /// A fresh key under this name.
    pub fn generate(kid: &str) -> Result<Self> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("failed to make a key"))?;
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(|error| anyhow!("{error}"))?;
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            wrap(&STANDARD.encode(der.as_ref()))
        );
        Ok(Self { kid: kid.to_owned(), pair, pem })
    }

    /// Writes `<kid>.pem` into a key folder; the newest file signs.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.pem", self.kid));
        // In one step: the folder is watched, and half a key is no key.
        let fresh = folder.join(format!(".{}.new", self.kid));
        std::fs::write(&fresh, &self.pem).context("failed to write a key")?;
        std::fs::rename(&fresh, &path).context("failed to write a key")?;
        Ok(path)
    }

    /// A token with exactly this header and these claims, signed with this key.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        format!("{signed}.{}", encode(self.pair.sign(signed.as_bytes()).as_ref()))
    }

    /// A service's token with these scopes, good for an hour.
    pub fn service_token(&self, issuer: &str, name: &str, scope: &str) -> String {
        let now = unix_seconds();
        let header = json!({"alg": "EdDSA", "typ": "svc+jwt", "kid": self.kid});
        let claims = json!({"iss": issuer, "aud": "parlor-internal", "sub": format!("svc:{name}"), "scope": scope, "iat": now, "exp": now + 3600});
        self.sign(&header, &claims)
    }
}

fn wrap(text: &str) -> String {
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.join("\n")
}

/// Now, as tokens count.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
