//! The folder of signing keys: `<kid>.pem` each, PKCS#8 Ed25519. The newest file signs, all verify; removing a file retires its key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::claims::{self, PERSON_TYP, PersonClaims, SERVICE_TYP};
use crate::jws::{self, PublicKey};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(2);
const FILE_BYTES: u64 = 16 * 1024;
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// What can be wrong with a folder of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder itself cannot be read.
    #[error("failed to read the folder of keys {0}")]
    Folder(PathBuf, #[source] std::io::Error),
    /// There is nothing to sign with.
    #[error("{0} holds no key: a key is a file `<name>.pem`, PKCS#8 Ed25519 (openssl genpkey -algorithm ed25519)")]
    NoKey(PathBuf),
    /// There is nothing to sign with.
    #[error("there is no key: a key is a PEM text, PKCS#8 Ed25519 (openssl genpkey -algorithm ed25519)")]
    NoKeyGiven,
    /// The machine has no randomness to give.
    #[error("failed to make a key")]
    Generate,
    /// A token could not be written as JSON.
    #[error("failed to write a token")]
    Token(#[source] serde_json::Error),
}

/// The keys of a folder. Clones share them.
#[derive(Clone)]
pub struct Keys {
    set: Arc<RwLock<Arc<Set>>>,
}

struct Set {
    /// By name.
    keys: BTreeMap<String, Key>,
    /// Name of the newest.
    signing: String,
}

#[derive(Clone)]
struct Key {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
    modified: SystemTime,
    length: u64,
}

/// A file that names a key, before it is read.
struct Found {
    kid: String,
    path: PathBuf,
    modified: SystemTime,
    length: u64,
}

impl Keys {
    /// Reads the folder once.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, KeysError> {
        let set = read(folder.as_ref(), &BTreeMap::new(), true)?;
        Ok(Self { set: Arc::new(RwLock::new(Arc::new(set))) })
    }

    /// The keys of these PEM texts, each with its name; the last name signs. A text that is no key is skipped.
    pub fn of(texts: impl IntoIterator<Item = (String, String)>) -> Result<Self, KeysError> {
        let mut keys = BTreeMap::new();
        for (kid, text) in texts {
            match parse_text(&kid, &text) {
                Ok((pair, public)) => {
                    let key = Key { pair, public, modified: SystemTime::UNIX_EPOCH, length: 0 };
                    keys.insert(kid, key);
                }
                Err(reason) => tracing::warn!(kid, reason, "skipped a key"),
            }
        }
        let signing = keys.keys().next_back().cloned().ok_or(KeysError::NoKeyGiven)?;
        Ok(Self { set: Arc::new(RwLock::new(Arc::new(Set { keys, signing }))) })
    }

    /// Reads the folder and follows it until `shutdown`: what is new is taken within 2 s; what cannot be read or parsed is
    /// left as it was. Call it inside the runtime.
    pub fn watch(folder: impl Into<PathBuf>, shutdown: CancellationToken) -> Result<Self, KeysError> {
        let folder = folder.into();
        let keys = Self::load(&folder)?;
        let followed = keys.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = follow(followed, folder) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(keys)
    }

    /// The public keys as a JSON Web Key Set.
    pub fn jwks(&self) -> Value {
        let set = self.current();
        let keys: Vec<Value> = set
            .keys
            .iter()
            .map(|(kid, key)| {
                let x = URL_SAFE_NO_PAD.encode(key.public);
                json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x})
            })
            .collect();
        json!({ "keys": keys })
    }

    /// A person's token.
    pub fn sign_person(&self, claims: &PersonClaims) -> Result<String, KeysError> {
        self.sign(PERSON_TYP, &claims::person_payload(claims))
    }

    /// A service's token from `issuer`, good from now for `life`.
    pub fn sign_service(&self, issuer: &str, name: &str, scopes: &[&str], life: Duration) -> Result<String, KeysError> {
        let now = OffsetDateTime::now_utc();
        self.sign(SERVICE_TYP, &claims::service_payload(issuer, name, scopes, now, life))
    }

    /// The public key of this name.
    pub(crate) fn public(&self, kid: &str) -> Option<PublicKey> {
        self.current().keys.get(kid).map(|key| key.public)
    }

    fn sign(&self, typ: &str, payload: &impl serde::Serialize) -> Result<String, KeysError> {
        let set = self.current();
        let key = set.keys.get(&set.signing).ok_or_else(|| KeysError::NoKey(PathBuf::from(&set.signing)))?;
        jws::sign(&key.pair, &set.signing, typ, payload).map_err(KeysError::Token)
    }

    fn current(&self) -> Arc<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what is new in the folder.
    fn reread(&self, folder: &Path, tell: bool) -> Result<(), KeysError> {
        let before = self.current();
        let after = read(folder, &before.keys, tell)?;
        if after.signing != before.signing {
            tracing::info!(kid = after.signing, "another key signs");
        }
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        Ok(())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.current();
        f.debug_struct("Keys").field("signing", &set.signing).field("all", &set.keys.keys()).finish()
    }
}

/// Looks at the folder again and again. What was wrong is said when it changes, not at every look.
async fn follow(keys: Keys, folder: PathBuf) {
    let mut seen = None;
    loop {
        tokio::time::sleep(EVERY).await;
        let (keys, folder, before) = (keys.clone(), folder.clone(), seen.clone());
        let look = tokio::task::spawn_blocking(move || {
            let now = fingerprint(&folder);
            let changed = before.as_ref() != Some(&now);
            if changed && let Err(error) = keys.reread(&folder, true) {
                tracing::warn!(%error, "kept the keys as they were");
            }
            now
        });
        if let Ok(now) = look.await {
            seen = Some(now);
        }
    }
}

/// Names, times and lengths of the files: whether a look is worth while.
fn fingerprint(folder: &Path) -> Vec<(String, SystemTime, u64)> {
    let mut files: Vec<_> =
        list(folder).unwrap_or_default().into_iter().map(|found| (found.kid, found.modified, found.length)).collect();
    files.sort();
    files
}

fn list(folder: &Path) -> std::io::Result<Vec<Found>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let kid = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        // Hidden files are somebody's work in progress (and the machinery of mounted Secrets).
        if path.extension().is_none_or(|extension| extension != "pem") || kid.starts_with('.') {
            continue;
        }
        // Through links: mounted Secrets are links, and what they point to changes.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let Ok(modified) = metadata.modified() else { continue };
        files.push(Found { kid, path, modified, length: metadata.len() });
    }
    Ok(files)
}

/// The keys of the folder; one whose file has become unreadable is taken from `known`.
fn read(folder: &Path, known: &BTreeMap<String, Key>, tell: bool) -> Result<Set, KeysError> {
    let files = list(folder).map_err(|error| KeysError::Folder(folder.to_owned(), error))?;
    let mut keys = BTreeMap::new();
    for file in files {
        let old = known.get(&file.kid);
        if let Some(old) = old.filter(|old| (old.modified, old.length) == (file.modified, file.length)) {
            keys.insert(file.kid, old.clone());
            continue;
        }
        match parse(&file) {
            Ok(key) => {
                keys.insert(file.kid, key);
            }
            Err(reason) => {
                if tell {
                    tracing::warn!(file = %file.path.display(), reason, "skipped a key");
                }
                if let Some(old) = old {
                    keys.insert(file.kid, old.clone());
                }
            }
        }
    }
    // Equal times are ordered by name, so that all replicas sign with the same key.
    let newest = keys.iter().max_by_key(|(kid, key)| (key.modified, *kid)).map(|(kid, _)| kid.clone());
    let signing = newest.ok_or_else(|| KeysError::NoKey(folder.to_owned()))?;
    Ok(Set { keys, signing })
}

fn parse(file: &Found) -> Result<Key, &'static str> {
    if file.length > FILE_BYTES {
        return Err("it is too long for a key");
    }
    let text = std::fs::read_to_string(&file.path).map_err(|_| "it cannot be read as text")?;
    let (pair, public) = parse_text(&file.kid, &text)?;
    Ok(Key { pair, public, modified: file.modified, length: file.length })
}

fn parse_text(kid: &str, text: &str) -> Result<(Arc<Ed25519KeyPair>, PublicKey), &'static str> {
    if !jws::is_kid(kid) {
        return Err("its name is not 1 to 64 letters, digits, `.`, `_` or `-`");
    }
    let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
    let body: String = body.ok_or("it is no PEM of a private key")?.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| "it is no PEM of a private key")?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| "it is no PKCS#8 Ed25519 key")?;
    let public = PublicKey::try_from(pair.public_key().as_ref()).map_err(|_| "it is no Ed25519 key")?;
    Ok((Arc::new(pair), public))
}

/// A new signing key as PEM.
pub fn generate() -> Result<String, KeysError> {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeysError::Generate)?;
    Ok(format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der.as_ref())))
}
