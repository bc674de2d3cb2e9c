//! RabbitMQ through its management API: one client with kept connections, at most sixteen requests at a time.

pub(crate) mod declare;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
pub(crate) mod topology;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Requests at a time: more do not make RabbitMQ faster.
const REQUESTS_MOST: usize = 16;
/// A list of ten thousand queues takes seconds on a small machine.
const LIMIT: Duration = Duration::from_secs(30);

/// RabbitMQ's management API for one virtual host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Broker {
    http: reqwest::Client,
    /// Without credentials, without a slash at the end.
    base: Arc<str>,
    user: Arc<str>,
    password: Arc<str>,
    vhost: Arc<str>,
    permits: Arc<Semaphore>,
}

/// Why RabbitMQ did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrokerError {
    /// No answer, or one that says that it cannot work now.
    #[error("failed to reach RabbitMQ: {0}")]
    Unreachable(String),
    /// What is asked about is not there.
    #[error("failed to find it in RabbitMQ")]
    NotFound,
    /// There is one with other arguments; the text is RabbitMQ's.
    #[error("RabbitMQ refused: {0}")]
    Conflict(String),
    /// Not for this user, or not at all.
    #[error("RabbitMQ refused ({status}): {reason}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// RabbitMQ's words.
        reason: String,
    },
}

impl BrokerError {
    /// Whether everything else would fail likewise, so that all wait for one probe.
    pub(crate) fn concerns_all(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => *status == 401,
            Self::NotFound | Self::Conflict(_) => false,
        }
    }
}

impl Broker {
    /// For the API at `url`, which may carry user and password, and this virtual host; `ca` is trusted beside the system's, as PEM.
    pub(crate) fn new(url: &str, vhost: &str, ca: Option<&str>) -> anyhow::Result<Self> {
        let mut url =
            Url::parse(url).context("RabbitMQ's management has no address as http://user:password@host:15672")?;
        let user = decode(url.username());
        let password = decode(url.password().unwrap_or_default());
        // Credentials go in a header alone: addresses end up in messages.
        url.set_username("").ok();
        url.set_password(None).ok();
        let mut builder = reqwest::Client::builder()
            .timeout(LIMIT)
            .connect_timeout(Duration::from_secs(5))
            .pool_max_idle_per_host(REQUESTS_MOST)
            .no_proxy();
        if let Some(pem) = ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .context("RabbitMQ's certificate authority holds no certificate as PEM")?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            http: builder.build().context("failed to make the client for RabbitMQ")?,
            base: url.as_str().trim_end_matches('/').into(),
            user: user.into(),
            password: password.into(),
            vhost: encode(vhost).into(),
            permits: Arc::new(Semaphore::new(REQUESTS_MOST)),
        })
    }

    /// The virtual host as it stands in addresses.
    fn vhost(&self) -> &str {
        &self.vhost
    }

    async fn list<T: DeserializeOwned>(&self, kind: &str, query: &str) -> Result<Vec<T>, BrokerError> {
        let bytes = self.request(Method::GET, &format!("/api/{kind}/{}?{query}", self.vhost), None).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| BrokerError::Unreachable(format!("the list of {kind} is not understood: {error}")))
    }

    async fn get(&self, path: &str) -> Result<Value, BrokerError> {
        let bytes = self.request(Method::GET, path, None).await?;
        serde_json::from_slice(&bytes).map_err(|error| BrokerError::Unreachable(error.to_string()))
    }

    async fn put(&self, path: &str, body: &Value) -> Result<(), BrokerError> {
        self.request(Method::PUT, path, Some(body)).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(), BrokerError> {
        self.request(Method::POST, path, Some(body)).await.map(drop)
    }

    /// Deleting what is not there is done.
    async fn delete(&self, path: &str) -> Result<(), BrokerError> {
        match self.request(Method::DELETE, path, None).await {
            Ok(_) | Err(BrokerError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, BrokerError> {
        let lost = |error: reqwest::Error| BrokerError::Unreachable(describe(&error.without_url()));
        let _permit = self.permits.acquire().await.map_err(|error| BrokerError::Unreachable(error.to_string()))?;
        metrics::counter!("parlor_operator_broker_requests_total", "method" => method.as_str().to_owned()).increment(1);
        let start = Instant::now();
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).basic_auth(&self.user, Some(&self.password));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(lost)?;
        metrics::histogram!("parlor_operator_broker_request_seconds").record(start.elapsed());
        if status.is_success() { Ok(bytes.to_vec()) } else { Err(refusal(status, &bytes)) }
    }
}

/// What an answer that is no success means.
fn refusal(status: StatusCode, body: &[u8]) -> BrokerError {
    let reason = reason(body);
    match status {
        StatusCode::NOT_FOUND => BrokerError::NotFound,
        StatusCode::BAD_REQUEST if reason.contains("inequivalent arg") => BrokerError::Conflict(reason),
        // 500 too: measured while a queue of the list was just being made or deleted. It is RabbitMQ's own, and it passes.
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            BrokerError::Unreachable(format!("{status} {reason}"))
        }
        _ => BrokerError::Refused { status: status.as_u16(), reason },
    }
}

fn reason(body: &[u8]) -> String {
    let text = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| value["reason"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    text.chars().take(500).collect()
}

/// An error with its causes, which alone say what happened.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Everything but letters, digits and `-._~` in percents: it may stand anywhere in an address.
pub(crate) fn encode(name: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").ok();
        }
    }
    text
}

/// The percents of an address undone.
fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
