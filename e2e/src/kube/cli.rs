//! kubectl and helm, as a person uses them.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::program;
use crate::wait;

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_mins(2);

/// The two programs, told which cluster and with caches of its own.
pub struct Cli {
    /// The administrator's.
    pub kubeconfig: PathBuf,
    /// Stands for the home folder.
    pub home: PathBuf,
}

impl Cli {
    /// Runs kubectl as the administrator and gives what it prints; a failure is an error with its words.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.run("kubectl", args, "").await
    }

    /// The same with a text on its standard input, for `--filename -`.
    pub async fn kubectl_reading(&self, args: &[&str], input: &str) -> Result<String> {
        self.run("kubectl", args, input).await
    }

    /// Runs helm as the administrator and gives what it prints; a failure is an error with its words.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        self.run("helm", args, "").await
    }

    /// Waits until the kinds of Parlor are offered, which takes the API server a moment after it has taken their definitions.
    pub async fn await_kinds(&self) -> Result<()> {
        wait::until(LIMIT, "the kinds of parlor.dev", async || {
            let kinds = self.kubectl(&["api-resources", "--api-group=parlor.dev", "--output=name"]).await?;
            Ok((kinds.lines().count() == 2).then_some(()))
        })
        .await
    }

    async fn run(&self, name: &str, args: &[&str], input: &str) -> Result<String> {
        let child = Command::new(program(name)?)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to run {name}"))?;
        let Ok(output) = timeout(LIMIT, converse(child, input)).await else {
            bail!("{name} {} took more than {} s", args.join(" "), LIMIT.as_secs());
        };
        let output = output?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {} failed: {}", args.join(" "), errors.trim());
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Gives it the text and takes what it says.
async fn converse(mut child: Child, input: &str) -> std::io::Result<Output> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why.
        match stdin.write_all(input.as_bytes()).await {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait_with_output().await
}
