//! What the xtask that runs the tests starts for one of them, and ends when its standard input is closed, as the test's death does too.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A `cargo xtask … --scratch`.
pub struct Scratch {
    process: Child,
}

impl Scratch {
    /// Starts it and reads what it says until it says where it is: gives what stands behind `scratch `.
    pub fn start(word: &str, args: &[String]) -> Result<(Self, String)> {
        let mut process = Command::new(xtask()?)
            .args([word, "--scratch"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to run xtask {word}"))?;
        let output = BufReader::new(process.stdout.take().context("xtask has no output")?);
        let mut said = String::new();
        for line in output.lines() {
            let line = line.context("failed to read what xtask says")?;
            if let Some(place) = line.strip_prefix("scratch ") {
                return Ok((Self { process }, place.to_owned()));
            }
            said.push_str(&line);
            said.push('\n');
        }
        let status = process.wait()?;
        bail!("xtask {word} ended ({status}) after saying:\n{said}")
    }

    /// `kill -9`; its guard sees to the rest.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().context("failed to kill xtask")
    }

    /// Ends it in good order, with its exit code to see.
    pub fn end(&mut self) -> Result<ExitStatus> {
        drop(self.process.stdin.take());
        self.process.wait().context("failed to wait for the end of xtask")
    }
}

/// The xtask that runs these tests.
pub fn xtask() -> Result<PathBuf> {
    let path = std::env::var_os("PARLOR_XTASK").map(PathBuf::from);
    path.context("PARLOR_XTASK is not set: run this test by `cargo xtask test`")
}
