//! One PostgreSQL, Redis and RabbitMQ for all tests of a run. Each test takes a database or virtual host of its own from them.

use std::process::Command;

use anyhow::Result;

use crate::args::Extent;
use crate::guard::{AtTheEnd, Guard};
use crate::scratch::Scratch;
use crate::up::{self, Stack};

/// Started servers; they go when this does, or when this process does.
pub(crate) struct Servers {
    stack: Stack,
    // In this order: first they are stopped, then somebody else may have their ports.
    _guard: Guard,
    _scratch: Scratch,
}

impl Servers {
    /// On ports and in a folder of their own.
    pub(crate) fn start() -> Result<Self> {
        let scratch = Scratch::new("tests")?;
        let guard = Guard::over(&scratch.layout, AtTheEnd::Remove)?;
        let stack = up::start(scratch.layout.clone(), &Extent::Servers)?;
        Ok(Self { stack, _guard: guard, _scratch: scratch })
    }

    /// Tells the tests that `command` runs where the servers are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("PARLOR_TEST_ENV", self.stack.layout.env());
    }
}
