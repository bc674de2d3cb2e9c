//! `down`: stops every process of a stack, users of a server before the server, and with `--wipe` removes what it kept.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::layout::Layout;
use crate::process::{self, STOP_LIMIT};
use crate::servers::postgres;

/// Who stops together, one group after the other; gateways, which are in none of these, stop with the first.
const GROUPS: [&[&str]; 4] = [&["operator"], &["user-service"], &["rabbitmq", "redis", "postgres"], &["epmd"]];

/// Stops everything, and removes data, logs and keys if asked.
pub(crate) fn run(layout: &Layout, wipe: bool) -> Result<()> {
    let mut stopped = 0;
    stop_all(layout, &mut |line| {
        stopped += 1;
        println!("{line}");
    })?;
    if stopped == 0 {
        println!("Nothing of Parlor runs from {}", layout.state.display());
    }
    if wipe {
        remove(layout)?;
        println!("Data, logs and keys are removed.");
    }
    Ok(())
}

/// Stops everything and removes it, for a stack that a test made.
pub(crate) fn run_quietly(layout: &Layout) -> Result<()> {
    stop_all(layout, &mut |_| ())?;
    remove(layout)
}

/// Stops everything in order, telling `say` of each process. One that cannot be stopped does not keep the others.
pub(crate) fn stop_all(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<()> {
    let names = process::known(layout);
    for group in 0..GROUPS.len() {
        let together: Vec<&String> = names.iter().filter(|name| group_of(name) == group).collect();
        let lines: Vec<Option<String>> = std::thread::scope(|scope| {
            let running: Vec<_> = together.iter().map(|name| scope.spawn(move || stop_one(layout, name))).collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        lines.into_iter().flatten().for_each(|line| say(&line));
    }
    let left = process::living(layout);
    ensure!(left.is_empty(), "still there: {left:?}");
    for file in [layout.env(), layout.service_token()] {
        process::remove(&file);
    }
    Ok(())
}

/// A line about it, unless it had ended before.
fn stop_one(layout: &Layout, name: &str) -> Option<String> {
    let pid = process::pid(layout, name);
    let line = match process::stop(layout, name, STOP_LIMIT) {
        Ok(true) => format!("{name} stopped"),
        Ok(false) => format!("{name} did not stop within {} s and was killed", STOP_LIMIT.as_secs()),
        Err(error) => return Some(format!("{error:#}")),
    };
    process::forget(layout, name);
    pid.map(|_| line)
}

fn group_of(name: &str) -> usize {
    GROUPS.iter().position(|group| group.contains(&name)).unwrap_or(0)
}

/// Removes only what `up` made: the folder may be one that somebody named.
fn remove(layout: &Layout) -> Result<()> {
    postgres::wipe(layout)?;
    for folder in [layout.data(), layout.run(), layout.state.join("log")] {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))?;
        }
    }
    // Fails where something else lies in it, which then stays.
    fs::remove_dir(&layout.state).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_stop_before_what_they_use() {
        assert_eq!(group_of("gateway-3"), 0);
        assert!(group_of("gateway-3") < group_of("user-service"));
        assert!(group_of("user-service") < group_of("rabbitmq"));
        assert!(group_of("rabbitmq") < group_of("epmd"));
    }
}
