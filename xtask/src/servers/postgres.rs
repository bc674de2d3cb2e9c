//! A private PostgreSQL. It refuses to run as root, so root runs it as the system's user `postgres`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::launch::{Launch, Ready, StopSignal};
use crate::layout::Layout;
use crate::secrets::{DATABASE, Secrets, write_private};
use crate::tools::Postgres;
use crate::{procfs, wait};

/// Making a cluster takes some seconds, on a slow disk many.
const INIT_LIMIT: Duration = Duration::from_mins(2);

/// The user that runs PostgreSQL in place of root.
struct Account {
    user: u32,
    group: u32,
}

/// Makes the cluster if there is none, and tells how to start it.
pub(crate) fn prepare(layout: &Layout, tools: &Postgres, secrets: &Secrets) -> Result<Launch> {
    let account = account()?;
    let folder = folder(layout, account.as_ref())?;
    if !folder.join("PG_VERSION").is_file() {
        make(layout, tools, secrets, account.as_ref(), &folder)?;
    }
    require_version(tools, &folder)?;
    let port = layout.postgres();
    let ready = Ready::Postgres { pg_isready: tools.bin.join("pg_isready"), port };
    let mut launch = match account {
        None => Launch::new(tools.bin.join("postgres"), ready),
        Some(_) => {
            Launch::new("setpriv", ready).args(as_postgres()).args([tools.bin.join("postgres").display().to_string()])
        }
    };
    launch.stop = StopSignal::Interrupt;
    Ok(launch.args([
        "-D".to_owned(),
        folder.display().to_string(),
        format!("--port={port}"),
        "--listen_addresses=127.0.0.1".to_owned(),
        // Only over TCP: a socket's path must be short, and nobody needs one here.
        "--unix_socket_directories=".to_owned(),
        "--max_connections=300".to_owned(),
    ]))
}

/// Makes the database if there is none; PostgreSQL must be ready.
pub(crate) fn create_database(layout: &Layout, tools: &Postgres, secrets: &Secrets) -> Result<()> {
    let sql = format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'");
    if psql(layout, tools, secrets, "postgres", &["--tuples-only", "--no-align", "--command", &sql])?.trim() != "1" {
        psql(layout, tools, secrets, "postgres", &["--command", &format!("CREATE DATABASE {DATABASE}")])?;
    }
    Ok(())
}

/// Runs psql in `database` and gives what it prints. Any error in the SQL is an error.
pub(crate) fn psql(
    layout: &Layout,
    tools: &Postgres,
    secrets: &Secrets,
    database: &str,
    args: &[&str],
) -> Result<String> {
    let output = Command::new(tools.bin.join("psql"))
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--host=127.0.0.1", "--username", DATABASE])
        .args(["--port", &layout.postgres().to_string(), "--dbname", database])
        .args(args)
        .env("PGPASSWORD", secrets.postgres_password())
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .context("failed to run psql")?;
    ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes what lies outside of the state folder, if anything does.
pub(crate) fn wipe(layout: &Layout) -> Result<()> {
    let link = layout.data().join("postgres");
    if link.is_symlink() {
        let outside = fs::read_link(&link)?;
        if outside.exists() {
            fs::remove_dir_all(&outside).with_context(|| format!("failed to remove {}", outside.display()))?;
        }
    }
    Ok(())
}

fn make(layout: &Layout, tools: &Postgres, secrets: &Secrets, account: Option<&Account>, folder: &Path) -> Result<()> {
    let password_file = folder.with_extension("password");
    write_private(&password_file, secrets.postgres_password())?;
    if let Some(account) = account {
        chown(&password_file, Some(account.user), Some(account.group))
            .context("failed to hand over a file to postgres")?;
    }
    let initdb = tools.bin.join("initdb");
    let mut command = if account.is_none() {
        Command::new(&initdb)
    } else {
        let mut command = Command::new("setpriv");
        command.args(as_postgres()).arg(&initdb);
        command
    };
    command
        .args(["--username", DATABASE, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--pgdata"])
        .arg(folder)
        .arg(format!("--pwfile={}", password_file.display()))
        .current_dir("/")
        .stdin(Stdio::null());
    let log = fs::File::create(layout.log("initdb"))?;
    let spawned = command.stdout(log.try_clone()?).stderr(log).spawn();
    let outcome = spawned
        .context("failed to run initdb")
        .and_then(|mut child| wait::child(&mut child, "initdb", INIT_LIMIT))
        .and_then(|status| {
            ensure!(status.success(), "initdb failed, see {}", layout.log("initdb").display());
            Ok(())
        });
    fs::remove_file(&password_file).context("failed to remove the password file of initdb")?;
    outcome
}

/// A cluster of another major version cannot be opened.
fn require_version(tools: &Postgres, folder: &Path) -> Result<()> {
    let version = fs::read_to_string(folder.join("PG_VERSION")).context("failed to read PG_VERSION")?;
    ensure!(
        version.trim() == tools.major.to_string(),
        "the data in {} are of PostgreSQL {}, found is {}: install that version, or begin anew with cargo xtask down --wipe",
        folder.display(),
        version.trim(),
        tools.major
    );
    Ok(())
}

/// `postgres` where this runs as root.
fn account() -> Result<Option<Account>> {
    if procfs::effective_user() != Some(0) {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
    match find_account(&users) {
        Some(account) => Ok(Some(account)),
        None => bail!(
            "PostgreSQL does not run as root and there is no user `postgres`: run as another user, or `useradd -r postgres`"
        ),
    }
}

fn find_account(users: &str) -> Option<Account> {
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some(Account { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
}

/// `setpriv` becomes the program under the same pid, unlike `su` and `runuser`.
fn as_postgres() -> [&'static str; 4] {
    ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
}

/// The cluster's folder, made for its owner. Where the user `postgres` may not pass (a checkout under a private home), it lies
/// in the system's folder for large temporary files, with a link to it; `down --wipe` removes both.
fn folder(layout: &Layout, account: Option<&Account>) -> Result<PathBuf> {
    let inside = layout.data().join("postgres");
    let Some(account) = account else {
        fs::create_dir_all(&inside)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o700))?;
        return Ok(inside);
    };
    let folder = if inside.is_symlink() {
        fs::read_link(&inside)?
    } else if passable(&layout.state) {
        for ours in [&layout.state, &layout.data()] {
            open_to_pass(ours)?;
        }
        inside
    } else {
        let outside = PathBuf::from(format!("/var/tmp/parlor-postgres-{}", crate::secrets::random_hex(6)?));
        symlink(&outside, &inside).with_context(|| format!("failed to link {}", inside.display()))?;
        outside
    };
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    chown(&folder, Some(account.user), Some(account.group)).context("failed to hand over the folder to postgres")?;
    Ok(folder)
}

/// Everybody may pass through all folders above this one.
fn passable(state: &Path) -> bool {
    state
        .ancestors()
        .skip(1)
        .all(|folder| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

fn open_to_pass(folder: &Path) -> Result<()> {
    let mut permissions = fs::metadata(folder)?.permissions();
    permissions.set_mode(permissions.mode() | 0o001);
    fs::set_permissions(folder, permissions).with_context(|| format!("failed to open {} to pass", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_the_list_of_users() {
        let account =
            find_account("root:x:0:0:root:/root:/bin/sh\npostgres:x:102:105:,,,:/var/lib/postgresql:/bin/sh\n")
                .unwrap();
        assert_eq!((account.user, account.group), (102, 105));
        assert!(find_account("root:x:0:0::/:/bin/sh\n").is_none());
    }
}
