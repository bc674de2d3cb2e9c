//! A stack for one test, through the xtask that runs the tests: own servers on own ports in an own folder. Nothing of it outlives
//! the test, however that ends: the stack goes when its standard input is closed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::servers::Servers;

/// A running stack.
pub struct Stack {
    /// Its folder.
    pub state: PathBuf,
    /// What is added to every port.
    pub offset: u16,
    process: Child,
}

impl Stack {
    /// Starts one and waits until it is ready.
    pub fn up() -> Result<Self> {
        let mut process = Command::new(xtask()?)
            .args(["up", "--scratch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to run xtask up")?;
        let output = BufReader::new(process.stdout.take().context("xtask has no output")?);
        let mut said = String::new();
        for line in output.lines() {
            let line = line.context("failed to read what xtask says")?;
            if let Some((offset, state)) = line.strip_prefix("scratch ").and_then(|rest| rest.split_once(' ')) {
                let offset = offset.parse().context("an offset is a number")?;
                return Ok(Self { state: PathBuf::from(state), offset, process });
            }
            said.push_str(&line);
            said.push('\n');
        }
        let status = process.wait()?;
        anyhow::bail!("xtask up ended ({status}) after saying:\n{said}")
    }

    /// Addresses of its servers.
    pub fn servers(&self) -> Result<Servers> {
        Servers::from_file(&self.state.join("run/env"))
    }

    /// Every process that it has or had, with its pid.
    pub fn processes(&self) -> Result<BTreeMap<String, u32>> {
        let mut all = BTreeMap::new();
        for file in std::fs::read_dir(self.state.join("run")).context("failed to read the folder of pids")? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "pid") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                all.insert(name, std::fs::read_to_string(&path)?.trim().parse().context("a pid is a number")?);
            }
        }
        Ok(all)
    }

    /// `kill -9` of the xtask that started it.
    pub fn kill_starter(&mut self) -> Result<()> {
        self.process.kill().context("failed to kill xtask")
    }

    /// Stops and removes it, with its exit code to see.
    pub fn end(&mut self) -> Result<ExitStatus> {
        drop(self.process.stdin.take());
        self.process.wait().context("failed to wait for the end of xtask")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            print_logs(&self.state);
        }
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// The end of each process's log, before they go with the stack.
fn print_logs(state: &std::path::Path) {
    for file in std::fs::read_dir(state.join("log")).into_iter().flatten().flatten() {
        let log = String::from_utf8_lossy(&std::fs::read(file.path()).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        eprintln!("── the end of {}\n{}", file.file_name().display(), tail.join("\n"));
    }
}

/// The xtask that runs these tests.
pub fn xtask() -> Result<PathBuf> {
    let path = std::env::var_os("PARLOR_XTASK").map(PathBuf::from);
    path.context("PARLOR_XTASK is not set: run this test by `cargo xtask test`")
}
