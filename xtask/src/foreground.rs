//! `up` after the start: reports who dies and who comes back, and stops everything on Ctrl-C. It revives nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::up::Stack;
use crate::{down, interrupt, process};

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Stays until Ctrl-C, or until nothing of the stack is left.
pub(crate) fn stay(stack: &mut Stack) -> Result<()> {
    let mut alive: BTreeMap<String, bool> =
        process::known(&stack.layout).into_iter().map(|name| (name, true)).collect();
    while !interrupt::asked() {
        std::thread::sleep(PAUSE);
        let ended = stack.children.reap();
        let known = process::known(&stack.layout);
        if known.is_empty() {
            println!("Everything was stopped.");
            return Ok(());
        }
        for name in known {
            report(stack, &name, &mut alive, &ended);
        }
    }
    println!("Stopping …");
    down::stop_all(&stack.layout, &mut |line| println!("  {line}"))?;
    stack.children.reap();
    Ok(())
}

fn report(stack: &Stack, name: &str, alive: &mut BTreeMap<String, bool>, ended: &BTreeMap<String, String>) {
    let pid = process::pid(&stack.layout, name);
    let before = alive.insert(name.to_owned(), pid.is_some()).unwrap_or(false);
    match (before, pid) {
        (true, None) => {
            let how = ended.get(name).map_or(String::new(), |status| format!(" ({status})"));
            let (log, flags) = (stack.layout.log(name), stack.layout.flags());
            println!("{name} ended{how}. Log: {}. Start it again: cargo xtask restart{flags} {name}", log.display());
        }
        (false, Some(pid)) => println!("{name} runs again (pid {pid})"),
        _ => {}
    }
}
