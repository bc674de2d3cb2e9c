//! `faults`: the scenes of `e2e/tests/faults.rs` at length, printed as they end.

use anyhow::{Result, ensure};

use crate::args::FaultsOptions;
use crate::layout::Layout;
use crate::{cargo, procfs};

/// A quarter comes before a fault and a quarter after it, of each of the four who send.
const MULTIPLE: u32 = 16;

/// Builds what is needed, and plays all scenes.
pub(crate) fn run(options: &FaultsOptions) -> Result<()> {
    let messages = options.messages;
    ensure!(messages > 0 && messages.is_multiple_of(MULTIPLE), "--messages {messages}: give a multiple of {MULTIPLE}");
    let layout = Layout::new(None, 0)?;
    cargo::build_programs(&layout)?;
    let mut command = cargo::command(&layout, &["test", "--package", "e2e", "--test", "faults", "--", "--nocapture"]);
    command.env("PARLOR_XTASK", procfs::own_path()?);
    command.env("PARLOR_FAULTS_MESSAGES", messages.to_string());
    cargo::run(command)
}
