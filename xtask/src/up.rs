//! `up`: from nothing to an address, step by step in the order in which one part needs the other. A failure on the way stops
//! what was started.

use std::fs::{self, File, TryLockError};
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::{Extent, UpOptions, Whole};
use crate::guard::{AtTheEnd, Guard};
use crate::layout::Layout;
use crate::process::{self, Children};
use crate::programs::{self, Programs};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::secrets::{Secrets, write_private};
use crate::servers::Servers;
use crate::{cargo, demo, down, foreground, interrupt, keys, ports, rooms, scratch, web};

/// How long a program may take to get ready; the first of them migrates.
const PROGRAM_LIMIT: Duration = Duration::from_mins(3);
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
        return run_scratch(options);
    }
    let layout = options.place.layout()?;
    let extent = options.extent(&layout)?;
    if options.detach {
        let stack = start(layout, &extent)?;
        println!("It goes on in the background; `cargo xtask down{}` stops it.", stack.layout.flags());
        return Ok(());
    }
    refuse_second(&layout)?;
    make_folders(&layout)?;
    let guard = Guard::over(&layout, AtTheEnd::Keep)?;
    let mut stack = start(layout, &extent)?;
    println!("Ctrl-C stops everything.");
    foreground::stay(&mut stack)?;
    guard.end()
}

/// For a test: tells where the stack is, and ends when the test closes standard input, as its death does too.
fn run_scratch(options: &UpOptions) -> Result<()> {
    let scratch = Scratch::new("stack")?;
    let guard = Guard::over(&scratch.layout, AtTheEnd::Remove)?;
    let mut stack = start(scratch.layout.clone(), &options.extent(&scratch.layout)?)?;
    scratch::announce(&scratch.layout)?;
    let input = std::thread::spawn(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
    while !input.is_finished() && !interrupt::asked() {
        std::thread::sleep(PAUSE);
        stack.children.reap();
    }
    guard.end()
}

/// Starts a stack; on failure nothing of it is left running.
pub(crate) fn start(layout: Layout, extent: &Extent) -> Result<Stack> {
    refuse_second(&layout)?;
    let ports = match extent {
        Extent::Servers => layout.server_ports(),
        Extent::Whole(whole) => layout.ports(whole.size),
    };
    ports::require_free(&ports)?;
    make_folders(&layout)?;
    let _lock = lock(&layout)?;
    // Again: another one may have come first.
    refuse_second(&layout)?;
    for name in process::known(&layout) {
        process::forget(&layout, &name);
    }
    let mut stack = Stack { layout, children: Children::default(), progress: Progress::new() };
    match stack.bring_up(extent) {
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
    fn bring_up(&mut self, extent: &Extent) -> Result<()> {
        let Self { layout, children, progress } = self;
        let servers = Servers::find(layout, progress)?;
        servers.launch(layout, children, progress)?;
        // The servers get ready meanwhile.
        if let Extent::Whole(whole) = extent {
            build(layout, whole, progress)?;
        }
        servers.await_ready(layout, progress)?;
        match extent {
            Extent::Servers => self.greet_servers(&servers.secrets),
            Extent::Whole(whole) => self.bring_up_programs(whole, &servers.secrets),
        }
    }

    fn greet_servers(&self, secrets: &Secrets) -> Result<()> {
        let path = self.layout.env();
        write_private(&path, &env_file(&self.layout, secrets, None))?;
        println!("\n{}", self.progress.times());
        println!("The servers run; their addresses are in {}", path.display());
        Ok(())
    }

    fn bring_up_programs(&mut self, whole: &Whole, secrets: &Secrets) -> Result<()> {
        let layout = self.layout.clone();
        let programs = Programs { layout: &layout, secrets, whole };
        keys::ensure(&layout)?;
        let token = keys::write_service_token(&layout, &programs.issuer())?;
        write_private(&layout.env(), &env_file(&layout, secrets, Some(&token)))?;
        self.start_programs(&programs, whole)?;
        self.await_rooms()?;
        self.greet(whole);
        Ok(())
    }

    fn start_programs(&mut self, programs: &Programs, whole: &Whole) -> Result<()> {
        self.children.start(&self.layout, "user-service", &programs.user_service())?;
        self.ready("user-service", &programs.issuer())?;
        // Before the operator, which reserves every name in a manifest that nobody holds.
        demo::register(&programs.issuer())?;
        self.children.start(&self.layout, "operator", &programs.operator(&whole.rooms))?;
        for number in 1..=whole.size.gateways {
            self.children.start(&self.layout, &format!("gateway-{number}"), &programs.gateway(number))?;
        }
        if whole.size.split_roles {
            self.children.start(&self.layout, "historian", &programs.historian())?;
        }
        self.ready("operator", &format!("http://localhost:{}/status", self.layout.operator()))?;
        for number in 1..=whole.size.gateways {
            self.ready(&format!("gateway-{number}"), &programs::public(self.layout.gateway(number)))?;
        }
        if whole.size.split_roles {
            self.ready("historian", &format!("http://localhost:{}/readyz", self.layout.historian()))?;
        }
        Ok(())
    }

    fn await_rooms(&mut self) -> Result<()> {
        let outcome = rooms::wait_ready(&self.layout)?;
        self.progress.done("rooms", &format!("{} of {} ready", outcome.ready, outcome.all));
        for complaint in outcome.complaints {
            println!("  not ready: {complaint}");
        }
        Ok(())
    }

    fn greet(&self, whole: &Whole) {
        println!("\n{}\n", self.progress.times());
        for number in 1..=whole.size.gateways {
            println!("Open {}/", programs::public(self.layout.gateway(number)));
        }
        let names = demo::ACCOUNTS.map(|(name, _)| name).join(", ");
        println!("Sign in as {names}; the password of each is {}", demo::PASSWORD);
        println!("Logs and pids are in {}", self.layout.state.display());
    }

    fn ready(&mut self, name: &str, address: &str) -> Result<()> {
        process::wait_ready(&self.layout, name, PROGRAM_LIMIT, |line| self.progress.say(line))?;
        self.progress.done(name, address);
        Ok(())
    }
}

fn build(layout: &Layout, whole: &Whole, progress: &mut Progress) -> Result<()> {
    if !whole.build {
        return cargo::require_programs(layout);
    }
    // The client first: chat-service holds it inside.
    let built = web::build(layout, &mut |line| progress.say(line))?;
    progress.done("web client", if built { "built" } else { "as it was" });
    cargo::build_programs(layout)?;
    progress.done("programs", "built");
    Ok(())
}

/// Addresses for people and tests, one `NAME=value` a line. Without a token where only the servers run.
pub(crate) fn env_file(layout: &Layout, secrets: &Secrets, token: Option<&str>) -> String {
    let mut all = vec![
        ("AMQP_URL", secrets.amqp_admin_url(layout)),
        ("RABBITMQ_MANAGEMENT_URL", secrets.management_url(layout)),
        ("DATABASE_URL", secrets.database_url(layout)),
        ("REDIS_URL", secrets.redis_url(layout)),
    ];
    all.extend(token.map(|token| ("PARLOR_SERVICE_TOKEN", token.to_owned())));
    let lines: Vec<String> = all.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.concat()
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
