//! `status`: who runs, who is ready, who died.

use anyhow::Result;

use crate::launch::Launch;
use crate::layout::Layout;
use crate::process;

/// One line a process.
pub(crate) fn run(layout: &Layout) -> Result<()> {
    let known = process::known(layout);
    if known.is_empty() {
        println!("Nothing of Parlor runs from {}", layout.state.display());
        return Ok(());
    }
    for name in known {
        let state = match process::pid(layout, &name) {
            None => format!("dead, see cargo xtask logs{} {name}", layout.flags()),
            Some(pid) => match process::probe(&Launch::load(layout, &name)?.ready) {
                Ok(()) => format!("pid {pid:<8} ready"),
                Err(reason) => format!("pid {pid:<8} not ready: {reason}"),
            },
        };
        println!("{name:<14}{state}");
    }
    Ok(())
}
