//! The keys that user-service publishes, fetched each minute and whenever a token names one that is not known yet.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::claims::TokenError;
use crate::jws::{PublicKey, is_kid};

/// How often the keys are fetched.
const EVERY: Duration = Duration::from_mins(1);
/// Between two fetches, whoever asks: names of keys are what anybody writes into a token.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest that one fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(3);
/// The longest that a token waits for its key.
const WAIT_LIMIT: Duration = Duration::from_secs(6);
const ANSWER_BYTES: usize = 64 * 1024;

type Keys = BTreeMap<String, PublicKey>;
/// Told after each fetch.
pub(super) type Report = Box<dyn Fn(Result<(), &str>) + Send + Sync>;

pub(super) struct Remote {
    client: Client,
    url: Url,
    /// `None` until the first fetch went well.
    keys: RwLock<Option<Arc<Keys>>>,
    /// Held while a fetch runs, so that all who wait share one.
    last: Mutex<Last>,
    report: Report,
}

#[derive(Default)]
struct Last {
    started: Option<Instant>,
    succeeded: bool,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    kid: String,
    x: String,
}

impl Remote {
    pub(super) fn start(url: &str, report: Report) -> Result<Arc<Self>, reqwest::Error> {
        // An error says that there is a provider already, and no other than ring is compiled in.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder().timeout(FETCH_LIMIT).redirect(reqwest::redirect::Policy::none()).build()?;
        // What is wrong with the address comes out as an error of this type only by making a request.
        let url = client.get(url).build()?.url().clone();
        let remote = Arc::new(Self { client, url, keys: RwLock::new(None), last: Mutex::default(), report });
        tokio::spawn(refresh(Arc::downgrade(&remote)));
        Ok(remote)
    }

    /// The key of this name; if it is not known, after a fetch that began no earlier than now.
    pub(super) async fn key(&self, kid: &str) -> Result<PublicKey, TokenError> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let fetched = timeout(WAIT_LIMIT, self.fetch_since(Instant::now())).await.unwrap_or(false);
        match self.known(kid) {
            Some(key) => Ok(key),
            None if fetched => Err(TokenError::Invalid("its key is not known")),
            None => Err(TokenError::Unavailable),
        }
    }

    fn known(&self, kid: &str) -> Option<PublicKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(kid).copied()
    }

    /// Makes sure that a fetch began at or after `since`, and says whether it went well.
    async fn fetch_since(&self, since: Instant) -> bool {
        let mut last = self.last.lock().await;
        if let Some(started) = last.started {
            if started >= since {
                return last.succeeded;
            }
            sleep_until(started + PAUSE).await;
        }
        // Set first: should this future be dropped, the fetch counts as one that failed.
        *last = Last { started: Some(Instant::now()), succeeded: false };
        let fetched = self.fetch().await;
        last.succeeded = fetched.is_ok();
        match fetched {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                (self.report)(Ok(()));
            }
            Err(reason) => (self.report)(Err(&reason)),
        }
        last.succeeded
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let failed = |error: reqwest::Error| format!("failed to fetch the keys of tokens: {}", error.without_url());
        let answer = self.client.get(self.url.clone()).send().await.map_err(failed)?;
        let mut answer = answer.error_for_status().map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES {
                return Err("the keys of tokens are too long an answer".to_owned());
            }
        }
        parse(&body).ok_or_else(|| "the keys of tokens are no set of Ed25519 keys".to_owned())
    }
}

/// The keys of a set that we can use; `None` if there are none.
fn parse(body: &[u8]) -> Option<Keys> {
    let set: KeySet = serde_json::from_slice(body).ok()?;
    let key = |value: serde_json::Value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let usable = jwk.kty == "OKP" && jwk.crv == "Ed25519" && is_kid(&jwk.kid);
        let public = PublicKey::try_from(URL_SAFE_NO_PAD.decode(jwk.x).ok()?).ok()?;
        usable.then_some((jwk.kid, public))
    };
    let keys: Keys = set.keys.into_iter().filter_map(key).collect();
    (!keys.is_empty()).then_some(keys)
}

/// Fetches for as long as there is somebody to check tokens.
async fn refresh(remote: Weak<Remote>) {
    loop {
        let Some(current) = remote.upgrade() else { return };
        let succeeded = current.fetch_since(Instant::now()).await;
        drop(current);
        // Not all programs in the same moment.
        let jitter = 0.75 + rand::random::<f64>() / 2.0;
        sleep(if succeeded { EVERY } else { PAUSE }.mul_f64(jitter)).await;
    }
}

#[cfg(test)]
mod tests;
