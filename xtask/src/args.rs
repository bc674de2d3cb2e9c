//! What the command line may say. Checked here as far as it can be without looking at the machine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::layout::Layout;

/// The project's commands. `cargo xtask up` is the one to begin with.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command each.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start PostgreSQL, Redis and RabbitMQ here
    Up(UpOptions),
    /// Stop everything that `up` started
    Down(DownOptions),
    /// Stop one process gracefully if it runs, and start it again
    Restart(ProcessOptions),
    /// Print the log of one process
    Logs(LogsOptions),
    /// Say which process runs, is ready, or died
    Status(StatusOptions),
    /// Write what is generated from the sources and checked in
    Gen(GenOptions),
    /// Run every check and test, with the time of each step
    Test(TestOptions),
    /// Wait for the end of standard input, then stop a stack; started by the commands above
    #[command(hide = true)]
    Guard(GuardOptions),
}

/// Which stack a command speaks of. The default is the one in `.parlor/` on the ports of the README.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// Folder for data, logs and pids of this stack; tests give each run its own [default: .parlor]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Added to every port, so that several stacks fit on one machine
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
}

impl Place {
    /// The folders and ports that these flags mean.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let state = self.state.as_deref().map(std::path::absolute).transpose().context("failed to resolve --state")?;
        Layout::new(state, self.port_offset)
    }
}

/// Flags of `up`.
#[derive(Args, Clone)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Return when all is ready instead of staying in the foreground
    #[arg(long)]
    pub(crate) detach: bool,
    /// In a folder and on ports of its own, and removed at the end of standard input; for tests
    #[arg(long, hide = true, conflicts_with_all = ["detach", "state", "port_offset"])]
    pub(crate) scratch: bool,
}

/// Flags of `guard`.
#[derive(Args)]
pub(crate) struct GuardOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Also remove data, logs and keys
    #[arg(long)]
    pub(crate) wipe: bool,
}

/// Flags of `down`.
#[derive(Args)]
pub(crate) struct DownOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Also remove data, logs and keys
    #[arg(long)]
    pub(crate) wipe: bool,
}

/// Flags of `restart`.
#[derive(Args)]
pub(crate) struct ProcessOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// postgres, redis or rabbitmq
    pub(crate) process: String,
}

/// Flags of `logs`.
#[derive(Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// postgres, redis or rabbitmq
    pub(crate) process: String,
    /// Go on printing what is added
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// Flags of `status`.
#[derive(Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Flags of `gen`.
#[derive(Args)]
pub(crate) struct GenOptions {
    /// Write nothing; fail if something checked in is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

/// Flags of `test`.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// Go on after a failed step and report all failures at the end
    #[arg(long)]
    pub(crate) keep_going: bool,
}
