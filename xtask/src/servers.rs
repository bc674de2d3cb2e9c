//! The three private servers of a stack: how they are found, started and awaited together. Each file below knows one of them.

pub(crate) mod postgres;
pub(crate) mod rabbitmq;
pub(crate) mod redis;

use std::time::Duration;

use anyhow::Result;

use crate::layout::Layout;
use crate::process::{self, Children};
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::tools::{self, Tools};

/// How long a server may take to get ready; the broker is the slowest.
const LIMIT: Duration = Duration::from_mins(3);

/// What starting them needs.
pub(crate) struct Servers {
    tools: Tools,
    pub(crate) secrets: Secrets,
}

impl Servers {
    /// Finds their programs, or installs what is missing; makes their passwords if this stack has none.
    pub(crate) fn find(layout: &Layout, progress: &Progress) -> Result<Self> {
        let tools = tools::servers(&mut |line| progress.say(line))?;
        Ok(Self { tools, secrets: Secrets::load_or_make(layout)? })
    }

    /// Starts all of them and returns at once: they get ready while other things are done.
    pub(crate) fn launch(&self, layout: &Layout, children: &mut Children, progress: &Progress) -> Result<()> {
        let Self { tools, secrets } = self;
        children.start(layout, "postgres", &postgres::prepare(layout, &tools.postgres, secrets)?)?;
        children.start(layout, "redis", &redis::prepare(layout, tools, secrets)?)?;
        children.start(layout, "epmd", &rabbitmq::prepare_epmd(layout, tools))?;
        process::wait_ready(layout, "epmd", LIMIT, |line| progress.say(line))?;
        children.start(layout, "rabbitmq", &rabbitmq::prepare(layout, tools, secrets)?)
    }

    /// Waits until each answers, and makes the database and the broker's users.
    pub(crate) fn await_ready(&self, layout: &Layout, progress: &mut Progress) -> Result<()> {
        let Self { tools, secrets } = self;
        process::wait_ready(layout, "postgres", LIMIT, |line| progress.say(line))?;
        postgres::create_database(layout, &tools.postgres, secrets)?;
        progress.done("postgres", &format!("{} on port {}", tools.postgres.major, layout.postgres()));
        process::wait_ready(layout, "redis", LIMIT, |line| progress.say(line))?;
        progress.done("redis", &format!("on port {}", layout.redis()));
        process::wait_ready(layout, "rabbitmq", LIMIT, |line| progress.say(line))?;
        rabbitmq::create_users(layout, secrets)?;
        let line = format!("on port {}, management on {}", layout.amqp(), layout.management());
        progress.done("rabbitmq", &line);
        Ok(())
    }
}
