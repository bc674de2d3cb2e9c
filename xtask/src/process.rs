//! The life of one process of a stack: start, ask whether it lives and is ready, stop. Each has its own process group, so that
//! Ctrl-C in a terminal reaches only `cargo xtask`, which then stops them in order.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::launch::{Launch, Ready, StopSignal};
use crate::layout::Layout;
use crate::{http, procfs, wait};

/// How long a process may take to stop in good order: a gateway's drain and some more.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(70);
/// After SIGKILL only the kernel has work.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How much of a log is shown with an error.
const TAIL_BYTES: u64 = 2_000;

/// Whether the log begins anew or goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Fresh,
    Continue,
}

/// The processes that this one started, kept so that none stays a zombie.
#[derive(Default)]
pub(crate) struct Children(BTreeMap<String, Child>);

impl Children {
    /// Starts `launch` as `name` with a new log.
    pub(crate) fn start(&mut self, layout: &Layout, name: &str, launch: &Launch) -> Result<()> {
        let child = start(layout, name, launch, Log::Fresh)?;
        self.0.insert(name.to_owned(), child);
        Ok(())
    }

    /// Waits for those that have ended, and tells how.
    pub(crate) fn reap(&mut self) -> BTreeMap<String, String> {
        let mut ended = BTreeMap::new();
        self.0.retain(|name, child| match child.try_wait() {
            Ok(Some(status)) => {
                ended.insert(name.clone(), status.to_string());
                false
            }
            _ => true,
        });
        ended
    }
}

/// Starts `launch` as `name`, and writes its pid and how it was started.
pub(crate) fn start(layout: &Layout, name: &str, launch: &Launch, log: Log) -> Result<Child> {
    let child = command(launch, &open_log(layout, name, log)?)
        .spawn()
        .with_context(|| format!("failed to start {name} ({})", launch.program.display()))?;
    let pid = child.id();
    let mut launch = launch.clone();
    launch.start_ticks = procfs::living(pid).map_or(0, |stat| stat.start_ticks);
    launch.save(layout, name)?;
    fs::write(layout.pid(name), format!("{pid}\n")).with_context(|| format!("failed to write the pid of {name}"))?;
    Ok(child)
}

/// The shell raises the soft limit of open files (a room's stream holds two in the broker) and then becomes the program, under
/// the same pid.
fn command(launch: &Launch, log: &File) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n "$(ulimit -Hn)" 2>/dev/null; exec "$0" "$@""#]);
    command.arg(&launch.program).args(&launch.args).current_dir(&launch.dir).process_group(0);
    // The programs read PARLOR_*: only what `up` was given counts, not what a later shell happens to have.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PARLOR_")) {
        command.env_remove(name);
    }
    command.envs(&launch.env).stdin(Stdio::null());
    if let (Ok(out), Ok(err)) = (log.try_clone(), log.try_clone()) {
        command.stdout(out).stderr(err);
    }
    command
}

fn open_log(layout: &Layout, name: &str, log: Log) -> Result<File> {
    let path = layout.log(name);
    if log == Log::Fresh {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("failed to remove the old {}", path.display()));
            }
            _ => {}
        }
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("failed to open {}", path.display()))
}

/// The pid of a process of this stack, if that very process lives.
pub(crate) fn pid(layout: &Layout, name: &str) -> Option<u32> {
    let pid = fs::read_to_string(layout.pid(name)).ok()?.trim().parse().ok()?;
    let stat = procfs::living(pid)?;
    let launch = Launch::load(layout, name).ok()?;
    (launch.start_ticks == stat.start_ticks).then_some(pid)
}

/// The processes that this stack has or had, by name.
pub(crate) fn known(layout: &Layout) -> Vec<String> {
    let Ok(files) = fs::read_dir(layout.run()) else { return Vec::new() };
    let mut names: Vec<String> =
        files.flatten().filter_map(|file| file.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned)).collect();
    names.sort();
    names
}

/// Those that live, with their pids.
pub(crate) fn living(layout: &Layout) -> Vec<(String, u32)> {
    known(layout).into_iter().filter_map(|name| pid(layout, &name).map(|pid| (name, pid))).collect()
}

/// Waits until `name` is ready, telling `say` why it is not whenever the reason changes. Dead or late is an error with the end of the log.
pub(crate) fn wait_ready(layout: &Layout, name: &str, limit: Duration, mut say: impl FnMut(&str)) -> Result<()> {
    let launch = Launch::load(layout, name)?;
    let mut reason = String::new();
    let start = Instant::now();
    let ready = wait::until(limit, || {
        if pid(layout, name).is_none() {
            bail!("{name} died at its start. {}", log_tail(layout, name));
        }
        let Err(why) = probe(&launch.ready) else { return Ok(Some(())) };
        if why != reason && start.elapsed() > Duration::from_secs(2) {
            say(&format!("{name:<14}not ready: {why}"));
        }
        reason = why;
        Ok(None)
    })?;
    if ready.is_none() {
        bail!("{name} was not ready after {} s ({reason}). {}", limit.as_secs(), log_tail(layout, name));
    }
    Ok(())
}

/// `Err` is the reason, for people.
pub(crate) fn probe(ready: &Ready) -> Result<(), String> {
    match ready {
        Ready::Http { url } => match http::get(url) {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => {
                Err(format!("{} {}", answer.status, answer.body.trim().chars().take(300).collect::<String>()))
            }
            Err(error) => Err(error.root_cause().to_string()),
        },
        Ready::Postgres { pg_isready, port } => {
            let port = port.to_string();
            let status = Command::new(pg_isready)
                .args(["--quiet", "--timeout=5", "--host=127.0.0.1", "--port", &port])
                .status()
                .map_err(|error| format!("failed to run pg_isready: {error}"))?;
            if status.success() { Ok(()) } else { Err("it takes no connections yet".into()) }
        }
        Ready::Redis { port, password } => ping(*port, password).map_err(|error| error.to_string()),
        Ready::Tcp { port } => connect(*port).map(drop).map_err(|error| error.to_string()),
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

/// Redis answers `+OK` to the password and `+PONG` once its data is loaded.
fn ping(port: u16, password: &str) -> Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(1_000).read_to_string(&mut answer)?;
    if answer.contains("+PONG") {
        return Ok(());
    }
    bail!("it answers {}", answer.trim())
}

/// Stops `name`: its own signal, and SIGKILL to its whole group once `limit` is over. Tells whether it stopped in good order.
/// That nothing runs is success. A Ctrl-C does not end the wait: half stopped is worse.
pub(crate) fn stop(layout: &Layout, name: &str, limit: Duration) -> Result<bool> {
    let Some(pid_now) = pid(layout, name) else { return Ok(true) };
    let signal = match Launch::load(layout, name)?.stop {
        StopSignal::Terminate => "TERM",
        StopSignal::Interrupt => "INT",
    };
    send(signal, &pid_now.to_string())?;
    if gone(layout, name, limit) {
        return Ok(true);
    }
    send("KILL", &format!("-{pid_now}"))?;
    if gone(layout, name, KILL_LIMIT) {
        return Ok(false);
    }
    bail!("{name} (pid {pid_now}) is still there after SIGKILL")
}

fn gone(layout: &Layout, name: &str, limit: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if pid(layout, name).is_none() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    pid(layout, name).is_none()
}

/// Sends a signal; that nobody is there any more is no error. The shell's own `kill` is everywhere, unlike the program.
pub(crate) fn send(signal: &str, target: &str) -> Result<()> {
    Command::new("sh")
        .args(["-c", r#"kill -s "$0" -- "$1" 2>/dev/null || true"#, signal, target])
        .status()
        .with_context(|| format!("failed to send SIG{signal} to {target}"))?;
    Ok(())
}

/// Removes what tells of a process that is gone.
pub(crate) fn forget(layout: &Layout, name: &str) {
    for file in [layout.pid(name), layout.launch(name)] {
        remove(&file);
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove(file: &Path) {
    // Nothing depends on it: pids are checked against the living process.
    fs::remove_file(file).ok();
}

/// The end of a process's log, for an error.
pub(crate) fn log_tail(layout: &Layout, name: &str) -> String {
    let path = layout.log(name);
    let tail = (|| -> std::io::Result<String> {
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    })();
    match tail {
        Ok(text) if text.is_empty() => format!("Its log {} is empty.", path.display()),
        Ok(text) => format!("The end of {}:\n{text}", path.display()),
        Err(_) => "It has no log.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(test: &str) -> Layout {
        let state = std::env::temp_dir().join(format!("parlor-xtask-{test}-{}", std::process::id()));
        let layout = Layout::new(Some(state), 0).unwrap();
        fs::create_dir_all(layout.run()).unwrap();
        fs::create_dir_all(layout.state.join("log")).unwrap();
        layout
    }

    #[test]
    fn a_process_is_known_by_pid_and_start_and_stops_on_its_signal() {
        let layout = scratch("life");
        let launch = Launch::new("sleep", Ready::Tcp { port: 1 }).args(["60"]);
        let mut child = start(&layout, "gateway-1", &launch, Log::Fresh).unwrap();
        assert_eq!(pid(&layout, "gateway-1"), Some(child.id()));
        assert!(stop(&layout, "gateway-1", Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        assert!(living(&layout).is_empty());
        fs::remove_dir_all(&layout.state).unwrap();
    }

    #[test]
    fn another_process_under_an_old_pid_is_not_ours() {
        let layout = scratch("reuse");
        let mut launch = Launch::new("sleep", Ready::Tcp { port: 1 });
        launch.start_ticks = 1;
        launch.save(&layout, "redis").unwrap();
        fs::write(layout.pid("redis"), std::process::id().to_string()).unwrap();
        assert_eq!(pid(&layout, "redis"), None);
        fs::remove_dir_all(&layout.state).unwrap();
    }
}
