//! Ends a stack whenever and however its starter ends: a second process waits for the end of a pipe that only the starter
//! holds. The kernel closes that on `kill -9` too, where no destructor runs.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::args::GuardOptions;
use crate::layout::Layout;
use crate::{down, node, procfs, wait};

/// Stopping everything in good order, one group after the other.
const LIMIT: Duration = Duration::from_mins(5);

/// What becomes of data and logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtTheEnd {
    /// They stay for the next `up`.
    Keep,
    /// They go: the stack was a test's.
    Remove,
}

/// The stack is stopped when this value goes, or this process does.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts the second process, in a group of its own so that Ctrl-C in a terminal does not reach it.
    pub(crate) fn over(layout: &Layout, end: AtTheEnd) -> Result<Self> {
        let mut command = command()?;
        command.args(["--port-offset", &layout.offset().to_string(), "--state"]).arg(&layout.state);
        if end == AtTheEnd::Remove {
            command.arg("--wipe");
        }
        Self::start(command, layout)
    }

    /// The same for a node, which is removed with everything in it.
    pub(crate) fn over_node(layout: &Layout, folder: &Path) -> Result<Self> {
        let mut command = command()?;
        command.arg("--node").arg(folder);
        Self::start(command, layout)
    }

    fn start(mut command: Command, layout: &Layout) -> Result<Self> {
        // Its pipe is closed in every other child, as Rust opens it.
        let child = command.current_dir(&layout.root).stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self(child.context("failed to start the guard of the servers")?))
    }

    /// Stops the stack now, with an error to see.
    pub(crate) fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let Some(pipe) = self.0.stdin.take() else { return Ok(()) };
        drop(pipe);
        let status = wait::to_the_end(&mut self.0, "the guard of the servers", LIMIT)?;
        ensure!(status.success(), "the guard of the servers failed: see its message above");
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            eprintln!("{error:#}");
        }
    }
}

fn command() -> Result<Command> {
    let mut command = Command::new(procfs::own_path()?);
    command.arg("guard");
    Ok(command)
}

/// The second process: waits for the first one's end, however that comes, then stops and perhaps removes the stack.
pub(crate) fn run(options: &GuardOptions) -> Result<()> {
    let layout = options.place.layout()?;
    io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink()).context("failed to wait for the end of the starter")?;
    if let Some(folder) = &options.node {
        return node::remove(folder);
    }
    if options.wipe { down::run_quietly(&layout) } else { down::stop_all(&layout, &mut |_| ()) }
}
