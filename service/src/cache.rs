//! Redis, losable by design: it never blocks the start, no command takes longer than a second, and while it is away every
//! command fails at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, FromRedisValue, RedisError, Script, ToRedisArgs};
use tokio::time::{sleep, timeout};

use crate::health::Check;
use crate::retry::Backoff;

/// The longest that a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(1);
/// How often Redis is asked whether it is there.
const EVERY: Duration = Duration::from_secs(1);
/// After so many questions without an answer the connection itself is given up: the network may have forgotten it.
const DEAD_AFTER: u32 = 3;

/// A connection to Redis that comes back by itself. Clones share it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    manager: RwLock<ConnectionManager>,
    /// Whether the last question was answered. True until the first one was not, so that a start need not wait for it.
    present: AtomicBool,
}

impl Cache {
    /// Prepares a connection to `url` and returns; the check says when it stands. Call it inside the runtime.
    pub fn connect(url: &str, check: Check) -> Result<Self> {
        // The address holds a password: an error must not repeat it.
        let client =
            Client::open(url).map_err(|error| anyhow::anyhow!("REDIS_URL is no address of Redis: {}", kind(&error)))?;
        let manager = manager(&client).context("failed to prepare the connection to Redis")?;
        let inner = Arc::new(Inner { client, manager: RwLock::new(manager), present: AtomicBool::new(true) });
        tokio::spawn(supervise(Arc::downgrade(&inner), check));
        Ok(Self { inner })
    }

    /// Runs one command.
    pub async fn run<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, RedisError> {
        let mut connection = self.connection()?;
        limited(cmd.query_async(&mut connection)).await
    }

    /// Runs a script, which Redis remembers by its hash.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        let mut connection = self.connection()?;
        let mut call = script.key(keys);
        call.arg(args);
        limited(call.invoke_async(&mut connection)).await
    }

    /// The connection itself, for pipelines: bound what you do with it.
    pub fn connection(&self) -> Result<ConnectionManager, RedisError> {
        if !self.is_present() {
            return Err((ErrorKind::Io, "Redis is not reachable").into());
        }
        Ok(self.inner.manager())
    }

    /// Whether Redis answered when it was last asked.
    pub fn is_present(&self) -> bool {
        self.inner.present.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn manager(&self) -> ConnectionManager {
        self.manager.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ping(&self) -> Result<(), RedisError> {
        limited(redis::cmd("PING").exec_async(&mut self.manager())).await
    }

    fn replace(&self) {
        match manager(&self.client) {
            Ok(manager) => *self.manager.write().unwrap_or_else(PoisonError::into_inner) = manager,
            Err(error) => tracing::error!(%error, "failed to prepare the connection to Redis"),
        }
    }
}

fn manager(client: &Client) -> Result<ConnectionManager, RedisError> {
    // Trying again is the supervisor's job; an own limit per command is needed anyway for the time to connect.
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(COMMAND_LIMIT))
        .set_response_timeout(Some(COMMAND_LIMIT));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

async fn limited<T>(command: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    timeout(COMMAND_LIMIT, command)
        .await
        .unwrap_or_else(|_| Err((ErrorKind::Io, "Redis did not answer in time").into()))
}

/// Asks Redis every second, and tells the check and the commands; ends with the last clone of the cache.
async fn supervise(inner: Weak<Inner>, check: Check) {
    let mut backoff = Backoff::new(EVERY / 2, EVERY * 2);
    let mut unanswered = 0_u32;
    loop {
        let Some(cache) = inner.upgrade() else { return };
        let answer = cache.ping().await;
        cache.present.store(answer.is_ok(), Ordering::Relaxed);
        match answer {
            Ok(()) => {
                check.ready();
                unanswered = 0;
                backoff.reset();
                drop(cache);
                sleep(EVERY).await;
            }
            Err(error) => {
                check.not_ready(format!("Redis is not reachable: {}", kind(&error)));
                unanswered += 1;
                if unanswered.is_multiple_of(DEAD_AFTER) {
                    cache.replace();
                }
                drop(cache);
                sleep(backoff.next()).await;
            }
        }
    }
}

/// What kind of error it is, without anything that came from outside.
fn kind(error: &RedisError) -> String {
    error.category().to_owned()
}

#[cfg(test)]
mod tests;
