//! A stack for one test, through the xtask that runs the tests: own servers and programs, own ports, killed and started again part
//! by part. Nothing of it outlives the test, however that ends: the stack goes when its standard input is closed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Client;

use crate::address::Address;
use crate::http;
use crate::person::Person;
use crate::scratch::{Scratch, xtask};
use crate::servers::Servers;
use crate::signal::{self, Signal};

/// A stack of ready programs takes a tenth of this on a quiet machine.
const UP_LIMIT: Duration = Duration::from_mins(4);
/// A gateway may drain before it restarts.
const RESTART_LIMIT: Duration = Duration::from_mins(3);
const RABBITMQCTL_LIMIT: Duration = Duration::from_mins(1);

/// How a stack is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How many gateways.
    pub gateways: u16,
    /// The folder of manifests; the example rooms without one.
    pub rooms: Option<PathBuf>,
    /// More flags of `up`.
    pub flags: &'static [&'static str],
}

/// A running stack.
pub struct Stack {
    /// Its folder.
    pub state: PathBuf,
    /// What is added to every port.
    pub offset: u16,
    /// For requests to it.
    pub http: Client,
    process: Scratch,
}

impl Stack {
    /// Starts PostgreSQL, Redis and RabbitMQ, and waits until they are ready.
    pub async fn servers_only() -> Result<Self> {
        Self::start(vec!["--servers-only".to_owned()]).await
    }

    /// Starts everything, as the tests have built it, and waits until its rooms are ready.
    pub async fn up(options: &Options) -> Result<Self> {
        let mut args = vec!["--no-build".to_owned(), "--gateways".to_owned(), options.gateways.to_string()];
        if let Some(rooms) = &options.rooms {
            args.extend(["--rooms".to_owned(), rooms.display().to_string()]);
        }
        args.extend(options.flags.iter().map(|flag| (*flag).to_owned()));
        Self::start(args).await
    }

    async fn start(args: Vec<String>) -> Result<Self> {
        let starting = tokio::task::spawn_blocking(move || start(&args));
        tokio::time::timeout(UP_LIMIT, starting)
            .await
            .with_context(|| format!("no stack within {} s", UP_LIMIT.as_secs()))?
            .context("the thread of xtask ended")?
    }

    /// Addresses of its servers.
    pub fn servers(&self) -> Result<Servers> {
        Servers::from_file(&self.state.join("run/env"))
    }

    /// Runs `cargo xtask <word> <args>` for this stack.
    pub async fn xtask(&self, word: &str, args: &[&str], limit: Duration) -> Result<Output> {
        let mut command = Command::new(xtask()?);
        command.arg(word).args(args).stdin(Stdio::null());
        command.args(["--port-offset", &self.offset.to_string(), "--state"]).arg(&self.state);
        let running = tokio::task::spawn_blocking(move || command.output());
        tokio::time::timeout(limit, running)
            .await
            .with_context(|| format!("xtask {word} took longer than {} s", limit.as_secs()))?
            .context("the thread of xtask ended")?
            .with_context(|| format!("failed to run xtask {word}"))
    }

    /// Addresses of gateway `number`, counted from 1.
    pub fn gateway(&self, number: u16) -> Address {
        let step = (number - 1) * 100;
        self.address(8080 + step, 9090 + step, 8090 + step)
    }

    /// Addresses of user-service.
    pub fn users(&self) -> Address {
        self.address(8081, 9091, 8091)
    }

    /// `http://…` of the operator, which also serves its health.
    pub fn operator(&self) -> String {
        format!("http://127.0.0.1:{}", 8082 + self.offset)
    }

    fn address(&self, http: u16, grpc: u16, health: u16) -> Address {
        Address::new(false, http + self.offset, grpc + self.offset, health + self.offset)
    }

    /// The pid of a process.
    pub fn pid(&self, process: &str) -> Result<u32> {
        let path = self.state.join("run").join(format!("{process}.pid"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        text.trim().parse().context("a pid is a number")
    }

    /// Sends a signal to a process.
    pub fn signal(&self, process: &str, signal: Signal) -> Result<()> {
        signal::send(self.pid(process)?, signal).with_context(|| process.to_owned())
    }

    /// `cargo xtask restart <process>`, dead or alive.
    pub async fn restart(&self, process: &str) -> Result<()> {
        let output = self.xtask("restart", &[process], RESTART_LIMIT).await?;
        ensure!(output.status.success(), "restart {process}: {}", said(&output));
        Ok(())
    }

    /// RabbitMQ's own command for this broker, which is the one beside its server.
    pub async fn rabbitmqctl(&self, args: &[&str]) -> Result<()> {
        let path = format!("/proc/{}/environ", self.pid("rabbitmq")?);
        let bytes = std::fs::read(&path).with_context(|| format!("failed to read {path}"))?;
        let variables: Vec<(String, String)> = String::from_utf8_lossy(&bytes)
            .split_terminator('\0')
            .filter_map(|variable| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let plugins = variables.iter().find(|(name, _)| name == "ERL_LIBS").context("RabbitMQ has no ERL_LIBS")?;
        let program = Path::new(&plugins.1).with_file_name("sbin").join("rabbitmqctl");
        let mut command = tokio::process::Command::new(&program);
        command.args(args).env_clear().envs(variables).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(RABBITMQCTL_LIMIT, command.output())
            .await
            .with_context(|| format!("rabbitmqctl took longer than {} s", RABBITMQCTL_LIMIT.as_secs()))?
            .with_context(|| format!("failed to run {}", program.display()))?;
        ensure!(output.status.success(), "rabbitmqctl {args:?}: {}", said(&output));
        Ok(())
    }

    /// Thaws what is frozen and starts again what is dead, after a scene that failed.
    pub async fn heal(&self) -> Result<()> {
        let mut processes = self.processes();
        // Servers first: the programs' readiness waits for them.
        processes
            .sort_by_key(|name| (!["postgres", "redis", "epmd", "rabbitmq"].contains(&name.as_str()), name.clone()));
        for process in processes {
            let pid = self.pid(&process)?;
            if signal::lives(pid) {
                signal::send(pid, Signal::Continue)?;
            } else {
                self.restart(&process).await?;
            }
        }
        Ok(())
    }

    /// What a process has written.
    pub fn log(&self, process: &str) -> Result<String> {
        let path = self.state.join("log").join(format!("{process}.log"));
        let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Names of the processes that have a pid file.
    pub fn processes(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.state.join("run")).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned));
        names.collect()
    }

    /// Registers somebody and signs in.
    pub async fn register(&self, username: &str) -> Result<Person> {
        Person::register(&self.http, &self.users().http, username).await
    }

    /// `kill -9` of the xtask that started it.
    pub fn kill_starter(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Stops and removes it, with the starter's exit code to see.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.process.end()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in self.processes() {
                let log = self.log(&process).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(40).collect();
                let tail: Vec<&str> = lines.into_iter().rev().collect();
                eprintln!("── the end of the log of {process}\n{}", tail.join("\n"));
            }
        }
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

/// Starts it, and reads where it is.
fn start(args: &[String]) -> Result<Stack> {
    let (process, place) = Scratch::start("up", args)?;
    let (offset, state) = place.split_once(' ').context("xtask says an offset and a folder")?;
    let offset = offset.parse().context("an offset is a number")?;
    Ok(Stack { state: PathBuf::from(state), offset, http: http::client()?, process })
}

/// What a command printed, errors last.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
