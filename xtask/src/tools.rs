//! Finds what a stack needs on this machine: PostgreSQL, Redis, RabbitMQ, Node; for the tests also Chromium and Go. Missing parts are installed where
//! apt may do it (`install`), else the error says how to get them.

mod compose;
mod control_plane;
mod go;
mod install;
mod tour;

pub(crate) use compose::{COMPOSE, compose};
pub(crate) use control_plane::control_plane;
pub(crate) use tour::{print as print_for_tour, tour};

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest PostgreSQL that the migrations are made for.
const OLDEST_POSTGRES: u32 = 15;
/// What the web client's build tool asks for.
const OLDEST_NODE: (u32, u32) = (20, 19);
/// What Kubernetes' modules ask for.
const OLDEST_GO: (u32, u32) = (1, 26);
/// Which has `--json`.
const OLDEST_CURL: (u32, u32) = (7, 82);

/// Names of the browser that the tests drive.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// PostgreSQL's programs.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    /// The folder of `initdb`, `postgres`, `psql`, `pg_isready`.
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

/// All servers' programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) postgres: Postgres,
    pub(crate) redis: PathBuf,
    pub(crate) rabbitmq: PathBuf,
    pub(crate) epmd: PathBuf,
}

/// One thing that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Postgres,
    Redis,
    RabbitMq,
    Node,
    Chromium,
    Go,
    Containerd,
    Runc,
    Network,
    Iptables,
    Addresses,
    Curl,
    Jq,
}

/// Everything that a stack needs at run time.
const SERVERS: [Need; 3] = [Need::Postgres, Need::Redis, Need::RabbitMq];

impl Need {
    /// Its packages on Debian and Ubuntu.
    pub(crate) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql"],
            Self::Redis => &["redis-server"],
            Self::RabbitMq => &["rabbitmq-server"],
            Self::Node => &["nodejs", "npm"],
            Self::Chromium => &["chromium"],
            Self::Go => &["golang-go"],
            Self::Containerd => &["containerd"],
            Self::Runc => &["runc"],
            Self::Network => &["containernetworking-plugins"],
            Self::Iptables => &["iptables"],
            Self::Addresses => &["iproute2"],
            Self::Curl => &["curl"],
            Self::Jq => &["jq"],
        }
    }

    /// What to do where apt cannot help.
    pub(crate) fn cure(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL 15 or newer: https://www.postgresql.org/download/",
            Self::Redis => {
                "Redis 6 or newer (redis-server in PATH): https://redis.io/docs/latest/operate/oss_and_stack/install/"
            }
            Self::RabbitMq => "RabbitMQ 3.10 or newer: https://www.rabbitmq.com/docs/download",
            Self::Node => "Node 20.19 or newer with npm: https://nodejs.org/en/download",
            Self::Chromium => "Chromium in PATH, or another browser of its kind by PARLOR_CHROMIUM=<path>",
            Self::Go => "Go 1.26 or newer: https://go.dev/doc/install",
            Self::Containerd => "containerd with ctr: https://containerd.io/downloads/",
            Self::Runc => "runc: https://github.com/opencontainers/runc/releases",
            Self::Network => "the CNI plugins in /usr/lib/cni: https://github.com/containernetworking/plugins/releases",
            Self::Iptables => "iptables in PATH",
            Self::Addresses => "ip in PATH, of the package iproute2",
            Self::Curl => "curl 7.82 or newer: https://curl.se/download.html",
            Self::Jq => "jq: https://jqlang.org/download/",
        }
    }

    fn is_met(self) -> bool {
        match self {
            Self::Postgres => find_postgres().is_some(),
            Self::Redis => find("redis-server").is_some(),
            Self::RabbitMq => find_rabbitmq().is_some() && find_epmd().is_some(),
            Self::Node => node_is_new_enough(),
            Self::Containerd => find("containerd").is_some() && find("ctr").is_some(),
            Self::Runc => find("runc").is_some(),
            Self::Network => Path::new("/usr/lib/cni/bridge").is_file(),
            Self::Iptables => find("iptables").is_some(),
            Self::Addresses => find("ip").is_some(),
            Self::Curl => version("curl", "--version").is_some_and(|found| found >= OLDEST_CURL),
            Self::Jq => find("jq").is_some(),
            Self::Go => version("go", "version").is_some_and(|found| found >= OLDEST_GO),
            Self::Chromium => {
                std::env::var_os("PARLOR_CHROMIUM").is_some() || CHROMIUM.iter().any(|name| find(name).is_some())
            }
        }
    }
}

/// All servers, after installing those that are missing. `say` hears what is installed.
pub(crate) fn servers(say: &mut dyn FnMut(&str)) -> Result<Tools> {
    require(&SERVERS, say)?;
    Ok(Tools {
        postgres: find_postgres().context("PostgreSQL vanished")?,
        redis: find("redis-server").context("redis-server vanished")?,
        rabbitmq: find_rabbitmq().context("rabbitmq-server vanished")?,
        epmd: find_epmd().context("epmd vanished")?,
    })
}

/// PostgreSQL alone.
pub(crate) fn postgres(say: &mut dyn FnMut(&str)) -> Result<Postgres> {
    require(&[Need::Postgres], say)?;
    find_postgres().context("PostgreSQL vanished")
}

/// Node and npm, in the version that the web client's build needs.
pub(crate) fn node(say: &mut dyn FnMut(&str)) -> Result<()> {
    require(&[Need::Node], say)
}

/// Everything that a node needs besides what Kubernetes' own modules give.
const NODE: [Need; 5] = [Need::Containerd, Need::Runc, Need::Network, Need::Iptables, Need::Addresses];

/// Everything that a node needs.
pub(crate) fn for_node(say: &mut dyn FnMut(&str)) -> Result<()> {
    require(&[&SERVERS[..], &[Need::Node, Need::Go], &NODE].concat(), say)
}

/// Everything that the tests need, asked for together and at once, not after minutes of compiling.
pub(crate) fn for_tests(say: &mut dyn FnMut(&str)) -> Result<()> {
    require(&[&SERVERS[..], &[Need::Node, Need::Chromium, Need::Go, Need::Curl, Need::Jq], &NODE].concat(), say)
}

fn require(needs: &[Need], say: &mut dyn FnMut(&str)) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install::install(&missing, say)?;
    let still: Vec<&str> = missing.into_iter().filter(|need| !need.is_met()).map(Need::cure).collect();
    if !still.is_empty() {
        bail!("what apt installed is too old or lies elsewhere. Please install by hand:\n  {}", still.join("\n  "));
    }
    Ok(())
}

/// A program in PATH, or in the folders that an ordinary user's PATH lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The newest PostgreSQL that is new enough. Debian keeps its programs out of PATH.
fn find_postgres() -> Option<Postgres> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders.extend(find("initdb").and_then(|file| fs::canonicalize(file).ok()?.parent().map(Path::to_path_buf)));
    folders.into_iter().filter_map(postgres_in).max_by_key(|found| found.major)
}

fn postgres_in(bin: PathBuf) -> Option<Postgres> {
    if !["initdb", "postgres", "psql", "pg_isready"].iter().all(|program| bin.join(program).is_file()) {
        return None;
    }
    let major = version(bin.join("postgres"), "--version")?.0;
    (major >= OLDEST_POSTGRES).then_some(Postgres { bin, major })
}

/// The broker's own script: the one in PATH is on Debian a wrapper that changes the user.
fn find_rabbitmq() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if debian.is_file() {
        return Some(debian);
    }
    let file = fs::canonicalize(find("rabbitmq-server")?).ok()?;
    (!file.ends_with("rabbitmq-script-wrapper")).then_some(file)
}

/// Erlang's name server: in PATH, or inside Erlang.
fn find_epmd() -> Option<PathBuf> {
    find("epmd").or_else(|| {
        let erlang = fs::read_dir("/usr/lib/erlang").ok()?.flatten();
        erlang.map(|entry| entry.path().join("bin/epmd")).find(|file| file.is_file())
    })
}

fn node_is_new_enough() -> bool {
    find("npm").is_some() && version("node", "--version").is_some_and(|found| found >= OLDEST_NODE)
}

/// The first `<number>.<number>` that a program prints about itself.
fn version(program: impl AsRef<OsStr>, flag: &str) -> Option<(u32, u32)> {
    let output = Command::new(program).arg(flag).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `v20.20.2`, `postgres (PostgreSQL) 15.14 (Debian …)`, `18.19.0+dfsg-6`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    text.split(|letter: char| !(letter.is_ascii_digit() || letter == '.')).find_map(|word| {
        let mut numbers = word.split('.').map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(parse_version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some((15, 14)));
        assert_eq!(parse_version("18.19.0+dfsg-6~deb12u2"), Some((18, 19)));
        assert_eq!(parse_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(parse_version("none"), None);
    }

    #[test]
    fn an_older_node_is_not_enough() {
        assert!(parse_version("v18.20.4").unwrap() < OLDEST_NODE);
        assert!(parse_version("v20.18.0").unwrap() < OLDEST_NODE);
        assert!(parse_version("v22.0.0").unwrap() >= OLDEST_NODE);
    }
}
