//! `test`: every check that a change has to pass, one after the other, with the time of each. CI calls this and nothing else.

mod bans;
mod browser;
mod servers;
mod tidy;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::args::TestOptions;
use crate::layout::Layout;
use crate::{generate, interrupt, node, procfs, tools, web};
use servers::Servers;

/// What the steps of one run share.
struct Run {
    layout: Layout,
    /// Asked for at the start: a build of the whole workspace replaces the file that runs.
    xtask: PathBuf,
    /// Started by the step of that name.
    servers: OnceCell<Servers>,
    /// Folder of Kubernetes' control plane, set by the step of that name.
    control_plane: OnceCell<PathBuf>,
    /// Folders of the clients of docs/tour, set by the step of that name.
    tour: OnceCell<Vec<PathBuf>>,
    /// Docker Compose, set by the step of that name.
    compose: OnceCell<PathBuf>,
}

/// What a step does.
type Work = fn(&Run) -> Result<()>;

/// Every step with its name, in order. Each compiles what the steps before it left.
const STEPS: [(&str, Work); 13] = [
    ("bans", |run| bans::check(&run.layout)),
    ("tidy", |run| tidy::check(&run.layout)),
    ("format", |run| cargo(run, &["fmt", "--all", "--check"])),
    // Before everything of cargo: chat-service holds it inside.
    ("web client", |run| {
        web::check(&run.layout, &mut say)?;
        web::build(&run.layout, &mut say).map(drop)
    }),
    ("lints", |run| cargo(run, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])),
    ("tests compiled", |run| cargo(run, &["test", "--workspace", "--no-run", "--quiet"])),
    ("control plane", |run| {
        let folder = tools::control_plane(&run.layout, &mut say)?;
        run.control_plane.set(folder).map_err(|_| anyhow!("the control plane is there already"))
    }),
    ("compose", |run| {
        let program = tools::compose(&run.layout, &mut say)?;
        run.compose.set(program).map_err(|_| anyhow!("Compose is there already"))
    }),
    ("tour", |run| {
        let folders = tools::tour(&run.layout, &mut say)?;
        run.tour.set(folders).map_err(|_| anyhow!("the clients are there already"))
    }),
    ("generated files", |_| generate::run(true)),
    ("servers", |run| run.servers.set(Servers::start()?).map_err(|_| anyhow!("the servers run already"))),
    ("tests", |run| cargo(run, &["test", "--workspace"])),
    ("browser", |run| browser::run(&run.layout, &run.xtask)),
];

/// Runs the steps; the first failure ends it unless told to go on.
pub(crate) fn run(options: &TestOptions) -> Result<()> {
    let xtask = procfs::own_path()?;
    let run = Run {
        layout: Layout::new(None, 0)?,
        xtask,
        servers: OnceCell::new(),
        control_plane: OnceCell::new(),
        compose: OnceCell::new(),
        tour: OnceCell::new(),
    };
    // At once, not after minutes of compiling.
    node::require_root("cargo xtask test")?;
    tools::for_tests(&mut say)?;
    let mut times = Vec::new();
    for (name, work) in STEPS {
        interrupt::check()?;
        println!("── {name}");
        let start = Instant::now();
        let outcome = work(&run);
        times.push((name, start.elapsed(), outcome.is_ok()));
        if let Err(error) = outcome {
            println!("{name}: {error:#}");
            if !options.keep_going {
                break;
            }
        }
    }
    print_times(&times);
    let failed: Vec<&str> = times.iter().filter(|(_, _, good)| !good).map(|(name, ..)| *name).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
}

fn print_times(times: &[(&str, Duration, bool)]) {
    println!();
    for (name, time, good) in times {
        println!("step {name:<18}{:>8.1} s  {}", time.as_secs_f64(), if *good { "ok" } else { "FAILED" });
    }
    let all: Duration = times.iter().map(|(_, time, _)| *time).sum();
    println!("step {:<18}{:>8.1} s", "all", all.as_secs_f64());
}

/// Runs cargo; what tests need to find the servers and this xtask is in its environment.
fn cargo(run: &Run, args: &[&str]) -> Result<()> {
    let mut command = crate::cargo::command(&run.layout, args);
    command.env("PARLOR_XTASK", &run.xtask);
    // A failed test would print forty lines of addresses.
    command.env("RUST_LIB_BACKTRACE", "0");
    if let Some(servers) = run.servers.get() {
        servers.tell(&mut command);
    }
    if let Some(folder) = run.control_plane.get() {
        command.env("KUBEBUILDER_ASSETS", folder);
    }
    if let Some(program) = run.compose.get() {
        command.env(tools::COMPOSE, program);
    }
    if let Some(folders) = run.tour.get() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.iter().cloned().chain(std::env::split_paths(&path)))?;
        command.env("PATH", path);
    }
    crate::cargo::run(command)
}
