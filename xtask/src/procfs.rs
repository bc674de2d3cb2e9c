//! What /proc says about a process: whether it lives, since when, and what it is called.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// A process as `/proc/<pid>/stat` shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its name, at most 15 bytes.
    pub(crate) name: String,
    /// `R`, `S`, `Z`, …
    pub(crate) state: char,
    /// Clock ticks after boot at which it started; with the pid this names one process for good.
    pub(crate) start_ticks: u64,
}

/// An error on a machine without /proc.
pub(crate) fn require() -> Result<()> {
    ensure!(
        Path::new("/proc/self/stat").exists(),
        "cargo xtask needs Linux with /proc: use a Linux machine, a container or WSL 2"
    );
    Ok(())
}

/// Where this program's file is, as seen at the first call, which `main` makes: a build by `cargo xtask` puts another build of
/// the same program there, and from then on the kernel calls the file of this one deleted.
pub(crate) fn own_path() -> Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PATH.get() {
        return Ok(path.clone());
    }
    let path = std::env::current_exe().context("failed to find xtask's own path")?;
    Ok(PATH.get_or_init(|| path).clone())
}

/// The process with this pid, unless there is none or it is dead and only not yet waited for.
pub(crate) fn living(pid: u32) -> Option<Stat> {
    let stat = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat)
}

/// The words of its command line, for people.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split('\0').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The effective user of this process.
pub(crate) fn effective_user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok())
}

/// The name may hold spaces and brackets, so it ends at the last bracket.
fn parse_stat(text: &str) -> Option<Stat> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let rest: Vec<&str> = text.get(close + 1..)?.split_whitespace().collect();
    Some(Stat {
        name: text.get(open + 1..close)?.to_owned(),
        state: rest.first()?.chars().next()?,
        start_ticks: rest.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat, Stat { name: "a (b) c".into(), state: 'S', start_ticks: 98765 });
    }

    #[test]
    fn this_process_lives_and_process_0_does_not() {
        assert!(living(std::process::id()).is_some());
        assert_eq!(living(0), None);
    }
}
