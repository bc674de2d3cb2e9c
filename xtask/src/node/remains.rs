//! What a node leaves outside its namespaces: a folder and cgroups. Removed at the end, by the guard, however the end came; or before
//! the next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::cgroups;
use crate::{process, procfs};

/// Names the first process of the namespaces, as it is called outside, and when it started.
pub(super) const PID: &str = "pid";
/// How long the kernel may take to end all processes inside.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// The pid of a process inside, if that very process lives.
pub(super) fn first_process(folder: &Path) -> Option<u32> {
    let text = fs::read_to_string(folder.join(PID)).ok()?;
    let (pid, start) = text.split_once(' ')?;
    let pid = pid.parse().ok()?;
    let start: u64 = start.parse().ok()?;
    (procfs::living(pid)?.start_ticks == start).then_some(pid)
}

/// Whether a node runs from this folder.
pub(super) fn lives(folder: &Path) -> bool {
    first_process(folder).is_some()
}

/// Ends the node if it still runs, and removes what it left.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if let Some(first) = first_process(folder) {
        process::send("KILL", &first.to_string())?;
    }
    let start = Instant::now();
    let mut left: Vec<PathBuf> = cgroups::remove(folder);
    while !left.is_empty() && start.elapsed() < LIMIT {
        std::thread::sleep(PAUSE);
        left = cgroups::remove(folder);
    }
    ensure!(left.is_empty() && !lives(folder), "processes of the node are still in {left:?}");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    Ok(())
}
