//! Passwords of the private servers, made once per data folder and readable by its owner only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// One password per user of a server, 32 hexadecimal digits each: safe in an address without escaping.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    postgres: String,
    redis: String,
    broker_admin: String,
    broker_services: String,
    /// The cookie that Erlang nodes and tools share.
    pub(crate) erlang_cookie: String,
}

/// The broker's user for the operator, tests and people.
pub(crate) const BROKER_ADMIN: &str = "parlor";
/// The broker's user for chat-service: it may read and write, and make only its own exclusive queues.
pub(crate) const BROKER_SERVICES: &str = "parlor-services";
/// The virtual host of everything.
pub(crate) const VHOST: &str = "parlor";
/// Owner of the database, and its name.
pub(crate) const DATABASE: &str = "parlor";

impl Secrets {
    /// Those of this stack, made if there are none.
    pub(crate) fn load_or_make(layout: &Layout) -> Result<Self> {
        let path = layout.data().join("secrets.json");
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            return serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged: cargo xtask down --wipe begins anew", path.display()));
        }
        let secrets = Self {
            postgres: random_hex(16)?,
            redis: random_hex(16)?,
            broker_admin: random_hex(16)?,
            broker_services: random_hex(16)?,
            erlang_cookie: random_hex(16)?,
        };
        write_private(&path, &serde_json::to_string_pretty(&secrets)?)?;
        Ok(secrets)
    }

    pub(crate) fn postgres_password(&self) -> &str {
        &self.postgres
    }

    pub(crate) fn redis_password(&self) -> &str {
        &self.redis
    }

    pub(crate) fn broker_admin_password(&self) -> &str {
        &self.broker_admin
    }

    pub(crate) fn broker_services_password(&self) -> &str {
        &self.broker_services
    }

    /// `postgres://…`
    pub(crate) fn database_url(&self, layout: &Layout) -> String {
        format!("postgres://{DATABASE}:{}@127.0.0.1:{}/{DATABASE}", self.postgres, layout.postgres())
    }

    /// `redis://…`
    pub(crate) fn redis_url(&self, layout: &Layout) -> String {
        // With the name of Redis's only user: an empty one is refused by some clients.
        format!("redis://default:{}@127.0.0.1:{}", self.redis, layout.redis())
    }

    /// `amqp://…` of the administrator.
    pub(crate) fn amqp_admin_url(&self, layout: &Layout) -> String {
        format!("amqp://{BROKER_ADMIN}:{}@127.0.0.1:{}/{VHOST}", self.broker_admin, layout.amqp())
    }

    /// `amqp://…` of the services.
    pub(crate) fn amqp_services_url(&self, layout: &Layout) -> String {
        format!("amqp://{BROKER_SERVICES}:{}@127.0.0.1:{}/{VHOST}", self.broker_services, layout.amqp())
    }

    /// `http://…` of the management API, as the administrator.
    pub(crate) fn management_url(&self, layout: &Layout) -> String {
        format!("http://{BROKER_ADMIN}:{}@127.0.0.1:{}", self.broker_admin, layout.management())
    }
}

/// So many random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new().fill(&mut buffer).map_err(|_| anyhow!("the system gave no random numbers"))?;
    Ok(hex(&buffer))
}

/// Two lower-case digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Writes a file that only its owner may read, in one step: a reader sees the old or the new, never half.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = Path::new(&name);
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(fresh, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}
