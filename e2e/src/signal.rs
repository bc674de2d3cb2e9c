//! Signals to processes, sent by the shell's own `kill`: without unsafe code and without another package.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What a process may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `kill -9`.
    Kill,
    /// End in good order.
    Terminate,
    /// Ctrl-C.
    Interrupt,
    /// Freeze.
    Stop,
    /// Thaw.
    Continue,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Sends `signal` to the process `pid`; that there is none is an error.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$1""#, signal.word(), &pid.to_string()])
        .status()
        .context("failed to run kill")?;
    ensure!(status.success(), "failed to send {} to process {pid}", signal.word());
    Ok(())
}

/// Whether the process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in its status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib * 1024)
}
