//! A Redis database for one test. There are few numbers, so a claim in database 0 says which are taken.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::with_path;
use crate::cleanup;

/// A claim that a killed test leaves behind.
const CLAIM_SECONDS: u64 = 30 * 60;

/// Emptied and given back when the value goes.
pub struct TestRedis {
    /// Its address, with the number of its database.
    pub url: String,
    server_url: String,
    number: u32,
}

impl TestRedis {
    pub(super) async fn claim(server_url: &str) -> Result<Self> {
        let mut server = connect(server_url).await?;
        let (_, databases): (String, String) =
            redis::cmd("CONFIG").arg("GET").arg("databases").query_async(&mut server).await?;
        let databases: u32 = databases.parse().context("Redis's number of databases is no number")?;
        for _ in 0..600 {
            for number in 1..databases {
                let claimed: Option<String> = redis::cmd("SET")
                    .arg(claim_key(number))
                    .arg(std::process::id())
                    .arg("NX")
                    .arg("EX")
                    .arg(CLAIM_SECONDS)
                    .query_async(&mut server)
                    .await?;
                if claimed.is_some() {
                    let url = with_path(server_url, &format!("/{number}"));
                    flush(&url).await?;
                    return Ok(Self { url, server_url: server_url.to_owned(), number });
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("all {databases} databases of Redis are in use by other tests")
    }

    /// A connection to it.
    pub async fn connect(&self) -> Result<MultiplexedConnection> {
        connect(&self.url).await
    }
}

fn claim_key(number: u32) -> String {
    format!("parlor-test:database:{number}")
}

async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(url).context("not an address of Redis")?;
    client.get_multiplexed_async_connection().await.context("failed to connect to Redis")
}

async fn flush(url: &str) -> Result<()> {
    redis::cmd("FLUSHDB").query_async(&mut connect(url).await?).await.context("failed to empty a Redis database")
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let (url, server_url, number) = (&self.url, &self.server_url, self.number);
        cleanup::run("a Redis database", || async move {
            flush(url).await?;
            let _: i64 = connect(server_url).await?.del(claim_key(number)).await?;
            Ok(())
        });
    }
}
