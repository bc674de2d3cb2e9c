//! `up`: from nothing to running servers, step by step in the order in which one part needs the other. A failure on the way
//! stops what was started.

use std::fs::{self, File, TryLockError};
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::UpOptions;
use crate::guard::{AtTheEnd, Guard};
use crate::layout::Layout;
use crate::process::{self, Children};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::secrets::{Secrets, write_private};
use crate::servers::Servers;
use crate::{down, foreground, interrupt, ports, scratch};

/// How often a stack of tests is looked after.
const PAUSE: Duration = Duration::from_millis(100);

/// A stack while this process watches it.
pub(crate) struct Stack {
    pub(crate) layout: Layout,
    pub(crate) children: Children,
    progress: Progress,
}

/// Starts a stack and stays with it, unless detached.
pub(crate) fn run(options: &UpOptions) -> Result<()> {
    if options.scratch {
        return run_scratch();
    }
    let layout = options.place.layout()?;
    if options.detach {
        let stack = start(layout)?;
        println!("It goes on in the background; `cargo xtask down{}` stops it.", stack.layout.flags());
        return Ok(());
    }
    refuse_second(&layout)?;
    make_folders(&layout)?;
    let guard = Guard::over(&layout, AtTheEnd::Keep)?;
    let mut stack = start(layout)?;
    println!("Ctrl-C stops everything.");
    foreground::stay(&mut stack)?;
    guard.end()
}

/// For a test: tells where the stack is, and ends when the test closes standard input, as its death does too.
fn run_scratch() -> Result<()> {
    let scratch = Scratch::new("stack")?;
    let guard = Guard::over(&scratch.layout, AtTheEnd::Remove)?;
    let mut stack = start(scratch.layout.clone())?;
    scratch::announce(&scratch.layout)?;
    let input = std::thread::spawn(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
    while !input.is_finished() && !interrupt::asked() {
        std::thread::sleep(PAUSE);
        stack.children.reap();
    }
    guard.end()
}

/// Starts a stack; on failure nothing of it is left running.
pub(crate) fn start(layout: Layout) -> Result<Stack> {
    refuse_second(&layout)?;
    ports::require_free(&layout.ports())?;
    make_folders(&layout)?;
    let _lock = lock(&layout)?;
    // Again: another one may have come first.
    refuse_second(&layout)?;
    for name in process::known(&layout) {
        process::forget(&layout, &name);
    }
    let mut stack = Stack { layout, children: Children::default(), progress: Progress::new() };
    match stack.bring_up() {
        Ok(()) => Ok(stack),
        Err(error) => {
            if !process::known(&stack.layout).is_empty() {
                eprintln!("stopping what was started …");
            }
            if let Err(second) = down::stop_all(&stack.layout, &mut |_| ()) {
                eprintln!("{second:#}");
            }
            Err(error)
        }
    }
}

impl Stack {
    fn bring_up(&mut self) -> Result<()> {
        let Self { layout, children, progress } = self;
        let servers = Servers::find(layout, progress)?;
        servers.launch(layout, children, progress)?;
        servers.await_ready(layout, progress)?;
        write_private(&layout.env(), &env_file(layout, &servers.secrets))?;
        println!("\n{}", progress.times());
        println!("The servers run; their addresses are in {}", layout.env().display());
        Ok(())
    }
}

/// Addresses for people and tests, one `NAME=value` a line.
pub(crate) fn env_file(layout: &Layout, secrets: &Secrets) -> String {
    [
        ("AMQP_URL", secrets.amqp_admin_url(layout)),
        ("RABBITMQ_MANAGEMENT_URL", secrets.management_url(layout)),
        ("DATABASE_URL", secrets.database_url(layout)),
        ("REDIS_URL", secrets.redis_url(layout)),
    ]
    .map(|(name, value)| format!("{name}={value}\n"))
    .concat()
}

/// Makes the folders that every other part writes into.
pub(crate) fn make_folders(layout: &Layout) -> Result<()> {
    for folder in [layout.data(), layout.run(), layout.state.join("log")] {
        fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    Ok(())
}

/// Held while a stack starts; the pids tell of one that runs.
fn lock(layout: &Layout) -> Result<File> {
    let file = File::create(layout.run().join("up.lock")).context("failed to make the lock file")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `cargo xtask up` is just starting in {}", layout.state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock"),
    }
}

fn refuse_second(layout: &Layout) -> Result<()> {
    let living = process::living(layout);
    if living.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = living.iter().map(|(name, pid)| format!("{name} (pid {pid})")).collect();
    bail!(
        "Parlor already runs from {}: {}.\nStop it with `cargo xtask down{flags}`, or start one process again with `cargo xtask restart{flags} <process>`.",
        layout.state.display(),
        names.join(", "),
        flags = layout.flags()
    )
}
