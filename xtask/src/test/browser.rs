//! The whole as people see it: two of them in headless Chromium, on two gateways of a stack of its own, of which one is killed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::args::{Extent, Whole};
use crate::guard::{AtTheEnd, Guard};
use crate::layout::{Layout, Size};
use crate::scratch::Scratch;
use crate::{up, wait, web};

/// The room that the two talk in; one of `examples/rooms`.
const ROOM: &str = "team-a/general";
/// The script limits each of its own waits.
const LIMIT: Duration = Duration::from_mins(10);

/// Starts the stack with the programs as the tests have built them, and lets the script talk through it.
pub(crate) fn run(layout: &Layout, xtask: &Path) -> Result<()> {
    web::packages(layout, &mut |line| println!("{line}"))?;
    let scratch = Scratch::new("browser")?;
    let guard = Guard::over(&scratch.layout, AtTheEnd::Remove)?;
    let size = Size { gateways: 2, split_roles: false };
    let whole = Whole { size, no_rate_limits: false, rooms: layout.root.join("examples/rooms"), build: false };
    let stack = up::start(scratch.layout.clone(), &Extent::Whole(whole))?;
    let address = |number| format!("http://localhost:{}", stack.layout.gateway(number).http);
    let pictures = layout.root.join("target/xtask/browser");
    fs::create_dir_all(&pictures).with_context(|| format!("failed to make {}", pictures.display()))?;
    let mut command = Command::new("node");
    command
        .arg("e2e/browser.mjs")
        .current_dir(layout.root.join("web"))
        .env("PARLOR_URL_1", address(1))
        .env("PARLOR_URL_2", address(2))
        .env("PARLOR_ROOM", ROOM)
        .env("PARLOR_SCREENSHOTS", &pictures)
        // For `kill -9` of a gateway and starting it again.
        .env("PARLOR_XTASK", xtask)
        .env("PARLOR_STATE", &stack.layout.state)
        .env("PARLOR_PORT_OFFSET", stack.layout.offset().to_string());
    let mut child = command.spawn().context("failed to run node")?;
    let status = wait::child(&mut child, "the browser test", LIMIT)?;
    ensure!(
        status.success(),
        "the browser test failed ({status}): see its message above, pictures in {}",
        pictures.display()
    );
    guard.end()
}
