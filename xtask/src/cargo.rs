//! Cargo, run in the foreground for this workspace.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::layout::Layout;
use crate::wait;

/// A step of cargo on a small machine, the first compilation included.
const LIMIT: Duration = Duration::from_hours(1);

/// `cargo`, with the checked-in answers about SQL instead of a database that happens to be set.
pub(crate) fn command(layout: &Layout, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` says about this package: the build script of `ring` asks for it, and would otherwise run again, and
    // everything above it be compiled again, each time that a cargo of one kind follows one of the other.
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")) {
            command.env_remove(variable);
        }
    }
    command
        .args(args)
        .current_dir(&layout.root)
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL")
        .env_remove("SQLX_OFFLINE_DIR");
    command
}

/// The programs of a stack: packages and binaries have one name.
pub(crate) const PROGRAMS: [&str; 3] = ["user-service", "chat-service", "operator"];

/// Where cargo puts a program.
pub(crate) fn program(layout: &Layout, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| layout.root.join("target"), PathBuf::from);
    layout.root.join(target).join("debug").join(name)
}

/// Builds all programs, with the features of the whole workspace so that tests build nothing twice.
pub(crate) fn build_programs(layout: &Layout) -> Result<()> {
    run(command(layout, &["build", "--workspace", "--bins"]))
}

/// Every program must be there, for `--no-build`.
pub(crate) fn require_programs(layout: &Layout) -> Result<()> {
    for name in PROGRAMS {
        let path = program(layout, name);
        ensure!(path.is_file(), "--no-build: there is no {}; leave the flag out once", path.display());
    }
    Ok(())
}

/// Runs it; anything but success is an error.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let what = format!("cargo {}", args.join(" "));
    let mut child = command.spawn().with_context(|| format!("failed to run {what}"))?;
    let status = wait::child(&mut child, &what, LIMIT)?;
    ensure!(status.success(), "{what} failed ({status}): see its message above");
    Ok(())
}
