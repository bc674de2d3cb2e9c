//! `restart`: one process again with the command that `up` gave it, dead or alive. Alive it is asked to stop in good order.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::launch::Launch;
use crate::layout::Layout;
use crate::process::{self, Log, STOP_LIMIT};
use crate::secrets::{Secrets, write_private};
use crate::{keys, up, wait};

/// How long it may take to get ready.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// PostgreSQL killed a moment ago does not start before its last child has noticed.
const ATTEMPTS: u32 = 5;

/// Stops and starts `name`, and returns when it is ready.
pub(crate) fn run(layout: &Layout, name: &str) -> Result<()> {
    let known = process::known(layout);
    ensure!(
        known.iter().any(|other| other == name),
        "no process `{name}` in {}: {}",
        layout.state.display(),
        if known.is_empty() { "nothing was started".to_owned() } else { format!("there are {}", known.join(", ")) }
    );
    let _lock = lock(layout, name)?;
    if let Some(pid) = process::pid(layout, name) {
        println!("{name} (pid {pid}) is asked to stop");
        if !process::stop(layout, name, STOP_LIMIT)? {
            println!("{name} did not stop within {} s and was killed", STOP_LIMIT.as_secs());
        }
    }
    if name == "rabbitmq" && process::pid(layout, "epmd").is_none() {
        again(layout, "epmd")?;
    }
    if uses_token(name) {
        renew_token(layout)?;
    }
    again(layout, name)
}

fn again(layout: &Layout, name: &str) -> Result<()> {
    let launch = Launch::load(layout, name)?;
    let mut attempt = 1;
    loop {
        let mut child = process::start(layout, name, &launch, Log::Continue)?;
        let Err(error) = process::wait_ready(layout, name, READY_LIMIT, |line| println!("{line}")) else {
            println!("{name} is ready (pid {})", child.id());
            return Ok(());
        };
        let died = child.try_wait().context("failed to look after it")?.is_some();
        if name != "postgres" || !died || attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn uses_token(name: &str) -> bool {
    name == "operator" || name == "historian" || name.starts_with("gateway-")
}

/// The token holds a day, a stack may run longer.
fn renew_token(layout: &Layout) -> Result<()> {
    let users = Launch::load(layout, "user-service")?;
    let issuer =
        users.args.iter().skip_while(|word| *word != "--issuer").nth(1).context("user-service has no issuer")?;
    let token = keys::write_service_token(layout, issuer)?;
    write_private(&layout.env(), &up::env_file(layout, &Secrets::load_or_make(layout)?, Some(&token)))
}

/// Two `restart` of one process take turns.
fn lock(layout: &Layout, name: &str) -> Result<File> {
    let busy = format!("another `cargo xtask restart {name}` is at work");
    wait::lock(&layout.run().join(format!("{name}.lock")), STOP_LIMIT + READY_LIMIT, &busy)
}
