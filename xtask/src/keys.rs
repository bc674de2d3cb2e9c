//! The folder of signing keys (user-service signs with the newest, every program verifies with all) and the local service token.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::json;

use crate::layout::Layout;
use crate::secrets::{random_hex, write_private};

/// How long the local service token holds; elsewhere they hold 10 minutes and are renewed.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Makes the folder and a first key, if there is none.
pub(crate) fn ensure(layout: &Layout) -> Result<()> {
    let folder = layout.keys();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    if newest(&folder)?.is_none() {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("failed to make a key"))?;
        write_private(&folder.join(format!("local-{}.pem", random_hex(4)?)), &to_pem(key.as_ref()))?;
    }
    Ok(())
}

/// Signs a new service token for the programs of this stack and writes it where they read it.
pub(crate) fn write_service_token(layout: &Layout, issuer: &str) -> Result<String> {
    let path = newest(&layout.keys())?.context("the folder of signing keys is empty")?;
    let key_id = path.file_stem().and_then(|stem| stem.to_str()).context("a key's name is no text")?;
    let pem = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let key = from_pem(&pem).with_context(|| format!("{} is no PKCS#8 Ed25519 key", path.display()))?;
    let token = sign(&key, key_id, issuer, SystemTime::now())?;
    write_private(&layout.service_token(), &token)?;
    Ok(token)
}

/// The key file that was modified last.
fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let modified = entry.metadata()?.modified()?;
        if found.as_ref().is_none_or(|(time, _)| modified > *time) {
            found = Some((modified, path));
        }
    }
    Ok(found.map(|(_, path)| path))
}

fn sign(key: &Ed25519KeyPair, key_id: &str, issuer: &str, now: SystemTime) -> Result<String> {
    let now = now.duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let header = json!({"alg": "EdDSA", "typ": "svc+jwt", "kid": key_id});
    let claims = json!({
        "iss": issuer,
        "aud": "parlor-internal",
        "sub": "svc:local",
        "scope": "rooms presence users",
        "iat": now.as_secs(),
        "exp": (now + TOKEN_LIFE).as_secs(),
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = encode(key.sign(signed.as_bytes()).as_ref());
    Ok(format!("{signed}.{signature}"))
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n" + END + "\n"
}

fn from_pem(pem: &str) -> Result<Ed25519KeyPair> {
    let body = pem.split(BEGIN).nth(1).and_then(|rest| rest.split(END).next()).context("it is not PEM")?;
    let text: String = body.split_whitespace().collect();
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(text)?).map_err(|error| anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, KeyPair, UnparsedPublicKey};

    #[test]
    fn a_token_is_signed_by_the_key_that_its_header_names() {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = from_pem(&to_pem(der.as_ref())).unwrap();
        let token = sign(&key, "k1", "http://localhost:8081", UNIX_EPOCH + Duration::from_secs(100)).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!(claims["exp"], 86_500);
        assert_eq!(claims["aud"], "parlor-internal");
        assert!(String::from_utf8(decode(parts[0])).unwrap().contains("\"kid\":\"k1\""));
        UnparsedPublicKey::new(&ED25519, key.public_key().as_ref())
            .verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &decode(parts[2]))
            .unwrap();
    }

    #[test]
    fn lines_of_a_key_file_are_64_letters_at_most() {
        assert!(to_pem(&[7; 83]).lines().all(|line| line.len() <= 64));
    }
}
