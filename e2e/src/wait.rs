//! Waiting with a limit: whatever a test waits for either comes or fails the test with its name.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` until it gives something; an error that names `what` and the last failure after `limit`.
pub async fn until<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match tokio::time::timeout(limit, probe()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => bail!("{what}: one look took longer than {} s", limit.as_secs()),
        };
        if start.elapsed() >= limit {
            return Err(last.unwrap_or_else(|| anyhow::anyhow!("it did not come")))
                .with_context(|| format!("waited {} s for: {what}", limit.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Gives `work` so long, and fails with its name after that.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .with_context(|| format!("not within {} s: {what}", limit.as_secs()))?
        .with_context(|| what.to_owned())
}
