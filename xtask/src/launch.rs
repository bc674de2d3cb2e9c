//! How a process is started, written beside its pid so that `restart` can do the same again later.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::secrets::write_private;

/// A command line with everything around it. Passwords are in `env` or in files, never in `args`: every user of the machine
/// may read those.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) dir: PathBuf,
    /// Asks it to stop in good order.
    pub(crate) stop: StopSignal,
    /// Tells that it is ready.
    pub(crate) ready: Ready,
    /// Set when it was started: with the pid it names one process for good.
    #[serde(default)]
    pub(crate) start_ticks: u64,
}

/// What asks a process to stop in good order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT: PostgreSQL ends its clients' sessions; on SIGTERM it would wait for them.
    Interrupt,
}

/// How readiness is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ready {
    /// This address answers 200.
    Http { url: String },
    /// `pg_isready` says so.
    Postgres { pg_isready: PathBuf, port: u16 },
    /// `PING` is answered.
    Redis { port: u16, password: String },
    /// Something listens.
    Tcp { port: u16 },
}

impl Launch {
    /// A command without arguments, run in `/`.
    pub(crate) fn new(program: impl Into<PathBuf>, ready: Ready) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: PathBuf::from("/"),
            stop: StopSignal::Terminate,
            ready,
            start_ticks: 0,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// What was written when `process` was started.
    pub(crate) fn load(layout: &Layout, process: &str) -> Result<Self> {
        let path = layout.launch(process);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes it down for `load`.
    pub(crate) fn save(&self, layout: &Layout, process: &str) -> Result<()> {
        write_private(&layout.launch(process), &serde_json::to_string_pretty(self)?)
    }
}
