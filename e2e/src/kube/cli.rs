//! kubectl and helm, as a person uses them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::{ControlPlane, program};

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_mins(2);

impl ControlPlane {
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

    async fn run(&self, name: &str, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(program(name)?)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            // Their caches and settings are the test's own.
            .env("HOME", self.folder.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to run {name}"))?;
        let mut stdin = child.stdin.take().with_context(|| format!("{name} has no input"))?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let Ok(output) = timeout(LIMIT, child.wait_with_output()).await else {
            bail!("{name} {} took more than {} s", args.join(" "), LIMIT.as_secs());
        };
        let output = output?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {} failed: {}", args.join(" "), errors.trim());
        Ok(String::from_utf8(output.stdout)?)
    }
}
