//! One program that a test runs: its log in a file, killed when the value goes, and by the kernel should the test itself be killed.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Client;

use crate::signal::{self, Signal};
use crate::{http, wait};

/// How long a program may take to get ready; the first one migrates.
const READY_LIMIT: Duration = Duration::from_secs(40);
/// How much of a log is shown with a failure.
const TAIL_BYTES: usize = 4_000;
/// To PostgreSQL, of each program: many tests run at once, on one server.
const DATABASE_CONNECTIONS: &str = "6";
/// Logs of one test process are told apart by this number.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A child process with a log.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `binary`. Variables of the test's own that would reach the program (`PARLOR_*`, addresses of servers) are left out.
    pub fn spawn<'a>(
        binary: impl AsRef<Path>,
        args: impl IntoIterator<Item = impl AsRef<str>>,
        env: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        let binary = binary.as_ref();
        let name = binary.file_stem().map_or_else(|| "program".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let log = log_path(&name)?;
        let out = File::create(&log).with_context(|| format!("failed to make {}", log.display()))?;
        // The kernel kills it when the thread that started it ends: nothing outlives a test that was killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
        for arg in args {
            command.arg(arg.as_ref());
        }
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_ours(&variable.to_string_lossy())) {
            command.env_remove(variable);
        }
        let child = command
            .env("DATABASE_CONNECTIONS", DATABASE_CONNECTIONS)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        Ok(Self { name, child, log })
    }

    /// The program's own pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        File::open(&self.log).and_then(|mut file| file.read_to_end(&mut bytes)).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `url` answers 200; that it ended or is late is an error with the end of its log.
    pub async fn wait_ready(&mut self, url: &str) -> Result<()> {
        let client = http::client()?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}). The end of its log:\n{}", self.name, self.log_tail());
            }
            let reason = match ask(&client, url).await {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            if start.elapsed() > READY_LIMIT {
                let seconds = READY_LIMIT.as_secs();
                bail!(
                    "{} was not ready after {seconds} s: {reason}. The end of its log:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal::send(self.pid(), signal)
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("failed to kill it")?;
        self.child.wait().context("failed to wait for its end")?;
        Ok(())
    }

    /// Asks it to end in good order and waits for that.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        let child = &mut self.child;
        wait::until(limit, "the end of a program", || {
            let ended = child.try_wait().context("failed to wait for its end");
            async move { ended }
        })
        .await
        .with_context(|| format!("{} was asked to end", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("failed to look after it")
    }

    /// The end of what it has written.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(TAIL_BYTES);
        let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
        log[from..].to_owned()
    }
}

async fn ask(client: &Client, url: &str) -> Result<(), String> {
    match client.get(url).timeout(Duration::from_secs(5)).send().await {
        Ok(answer) if answer.status() == 200 => Ok(()),
        Ok(answer) => Err(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default())),
        Err(error) => Err(error.to_string()),
    }
}

/// Built programs lie beside the tests' own folder: `<target>/<profile>/deps/<test>` and `<target>/<profile>/<program>`.
pub fn built(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("failed to find this test's own path")?;
    let path = test.parent().and_then(Path::parent).context("this test lies in no target folder")?.join(name);
    anyhow::ensure!(path.is_file(), "{} is not built: run this test by `cargo xtask test`", path.display());
    Ok(path)
}

fn is_ours(variable: &str) -> bool {
    variable.starts_with("PARLOR_")
        || ["AMQP_URL", "RABBITMQ_MANAGEMENT_URL", "DATABASE_URL", "REDIS_URL"].contains(&variable)
}

fn log_path(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("parlor-test-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    Ok(folder.join(format!("{name}-{}.log", STARTED.fetch_add(1, Ordering::Relaxed))))
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("── the end of the log of {} ({})\n{}", self.name, self.log.display(), self.log_tail());
            return;
        }
        fs::remove_file(&self.log).ok();
        // Only once the last log is gone.
        if let Some(folder) = self.log.parent() {
            fs::remove_dir(folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ends_at_its_start_is_an_error_with_its_log() {
        let mut program = Program::spawn("/bin/sh", ["-c", "echo why; exit 3"], []).unwrap();
        let error = program.wait_ready("http://127.0.0.1:1/").await.unwrap_err().to_string();
        assert!(error.contains("why") && error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn a_program_is_gone_when_its_value_is() {
        let program = Program::spawn("/bin/sleep", ["100"], []).unwrap();
        let pid = program.pid();
        assert!(signal::lives(pid));
        drop(program);
        assert!(!signal::lives(pid));
    }
}
