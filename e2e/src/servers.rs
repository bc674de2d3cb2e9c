//! The servers that `cargo xtask test` started for this run. Each test takes a database, a virtual host or a Redis database of
//! its own from them, which goes when its value is dropped.

mod database;
mod redis;
mod vhost;

pub use database::TestDatabase;
pub use redis::TestRedis;
pub use vhost::{SERVICES_MAY_CONFIGURE, TestVhost};

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Addresses of the servers, with passwords.
#[derive(Clone)]
pub struct Servers {
    /// AMQP as the administrator.
    pub amqp_url: String,
    /// RabbitMQ's management API as the administrator.
    pub management_url: String,
    /// PostgreSQL as the owner of everything; its own database is nobody's to use.
    pub database_url: String,
    /// Redis; its first database is nobody's to use.
    pub redis_url: String,
}

impl Servers {
    /// Those of the file that `PARLOR_TEST_ENV` names.
    pub fn from_env() -> Result<Self> {
        let path = std::env::var("PARLOR_TEST_ENV")
            .context("PARLOR_TEST_ENV is not set: run this test by `cargo xtask test`, which starts the servers")?;
        Self::from_file(Path::new(&path))
    }

    /// Those of a stack's `run/env`.
    pub fn from_file(path: &Path) -> Result<Self> {
        let env = read_env(path)?;
        let get = |name: &str| env.get(name).cloned().with_context(|| format!("{} has no {name}", path.display()));
        Ok(Self {
            amqp_url: get("AMQP_URL")?,
            management_url: get("RABBITMQ_MANAGEMENT_URL")?,
            database_url: get("DATABASE_URL")?,
            redis_url: get("REDIS_URL")?,
        })
    }

    /// A database of this test's own, with all migrations.
    pub async fn database(&self) -> Result<TestDatabase> {
        let database = self.empty_database().await?;
        database.migrate().await?;
        Ok(database)
    }

    /// A database of this test's own with nothing in it.
    pub async fn empty_database(&self) -> Result<TestDatabase> {
        TestDatabase::create(&self.database_url).await
    }

    /// A virtual host of this test's own, with an administrator and a user that has the services' rights.
    pub async fn vhost(&self) -> Result<TestVhost> {
        TestVhost::create(&self.management_url, &self.amqp_url).await
    }

    /// An empty Redis database of this test's own.
    pub async fn redis(&self) -> Result<TestRedis> {
        TestRedis::claim(&self.redis_url).await
    }
}

/// The `NAME=value` lines of a file.
pub fn read_env(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(text.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
}

/// `parlor_test_<pid>_<random>`, so that a leftover tells whose it is.
fn unique_name() -> String {
    format!("parlor_test_{}_{:08x}", std::process::id(), rand::random::<u32>())
}

/// The same address with another path, which begins with a slash.
fn with_path(url: &str, path: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    format!("{}{path}", &url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_replaces_the_one_that_was_there() {
        assert_eq!(with_path("postgres://a:b@127.0.0.1:5442/parlor", "/x"), "postgres://a:b@127.0.0.1:5442/x");
        assert_eq!(with_path("redis://default:p@127.0.0.1:6389", "/3"), "redis://default:p@127.0.0.1:6389/3");
    }
}
