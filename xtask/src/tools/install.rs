//! Installs missing servers by apt, and keeps apt from starting them: the packages' own services would sit on the standard
//! ports, and nothing of the machine but the packages may change.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Need, find};
use crate::{procfs, wait};

/// The file that Debian's packages ask before they start a service; exit code 101 means "do not".
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Tells a file of ours, left by a run that was killed, from one of the machine's owner.
const MARK: &str = "# Written by `cargo xtask` for the time of one installation.";
/// Downloads of a slow line.
const LIMIT: Duration = Duration::from_mins(20);

/// How apt may be called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Root,
    Sudo,
}

/// Installs what is missing, or says how to get it.
pub(crate) fn install(missing: &[Need], say: &mut dyn FnMut(&str)) -> Result<()> {
    let Some(right) = right() else { bail!("{}", by_hand(missing)) };
    say("apt-get update");
    apt(right, &["update", "--quiet"])?;
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    say(&format!("installing {} by apt-get, without starting its services", packages.join(", ")));
    let policy = Policy::forbid(right)?;
    let mut args = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    args.extend(&packages);
    let outcome = apt(right, &args);
    policy.lift()?;
    outcome?;
    say(
        "the packages' own services were not started; where systemd runs they start at the next boot unless you disable them",
    );
    Ok(())
}

/// Root or password-free sudo on a system with apt.
fn right() -> Option<Right> {
    find("apt-get")?;
    if procfs::effective_user() == Some(0) {
        return Some(Right::Root);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(Right::Sudo)
}

fn by_hand(missing: &[Need]) -> String {
    let cures: Vec<&str> = missing.iter().map(|need| need.cure()).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    format!(
        "missing on this machine, and this user may not install it (not root, no password-free sudo, or no apt):\n  {}\n\
         On Debian or Ubuntu: sudo apt-get install {}\n\
         `cargo xtask up` runs private instances, so a service that the package starts may be stopped and disabled.",
        cures.join("\n  "),
        packages.join(" ")
    )
}

fn apt(right: Right, args: &[&str]) -> Result<()> {
    let mut command = as_root(right, "env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(args).stdin(Stdio::null());
    let mut child = command.spawn().context("failed to run apt-get")?;
    let status = wait::child(&mut child, "apt-get", LIMIT)?;
    ensure!(status.success(), "apt-get {} failed: see its message above", args.first().unwrap_or(&""));
    Ok(())
}

fn as_root(right: Right, program: &str) -> Command {
    match right {
        Right::Root => Command::new(program),
        Right::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["-n", program]);
            command
        }
    }
}

/// While it lives, packages start no service. Goes away even if the installation fails.
struct Policy {
    right: Right,
    ours: bool,
}

impl Policy {
    fn forbid(right: Right) -> Result<Self> {
        let path = Path::new(POLICY);
        // A policy of the machine's owner stays as it is; container images have one that forbids everything.
        let ours = !path.exists() || fs::read_to_string(path).is_ok_and(|text| text.contains(MARK));
        let policy = Self { right, ours };
        if ours {
            policy.write()?;
        }
        Ok(policy)
    }

    fn write(&self) -> Result<()> {
        let text = format!("#!/bin/sh\n{MARK}\nexit 101\n");
        if self.right == Right::Root {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(POLICY)?;
            return file.write_all(text.as_bytes()).context("failed to write policy-rc.d");
        }
        let script = format!(r#"printf '%s' "$1" > {POLICY} && chmod 755 {POLICY}"#);
        let status = as_root(self.right, "sh").args(["-c", &script, "sh", &text]).status()?;
        ensure!(status.success(), "failed to write {POLICY}");
        Ok(())
    }

    fn lift(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        if std::mem::take(&mut self.ours) {
            let status = as_root(self.right, "rm").args(["-f", POLICY]).status()?;
            ensure!(
                status.success(),
                "failed to remove {POLICY}: please remove it, it keeps packages from starting services"
            );
        }
        Ok(())
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_apt_may_not_the_error_names_packages_and_the_cure() {
        let text = by_hand(&[Need::Redis, Need::RabbitMq]);
        assert!(text.contains("sudo apt-get install redis-server rabbitmq-server"));
        assert!(text.contains("RabbitMQ 3.10 or newer"));
    }
}
