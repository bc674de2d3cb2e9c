//! RabbitMQ, PostgreSQL and Redis where no registry has them for us: what this machine's packages installed, as images that are told
//! what to do as the official ones are. For tests; who has the official images uses those.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::archive::{self, Image};
use super::layer::Layer;
use super::{PREFIX, run};
use crate::tools;

/// What the servers' own scripts use, besides the servers.
const SHELL: [&str; 6] = ["coreutils", "dash", "grep", "hostname", "procps", "sed"];
/// Packages that nobody asks for anything in a container. The first is a third of all, and compiles queries.
const LEFT_OUT: [&str; 5] = ["libllvm", "libz3", "systemd", "locales", "debconf"];
/// Folders of what people read.
const UNREAD: [&str; 6] = ["doc", "man", "locale", "info", "lintian", "bug"];
/// Of the servers in the official images.
const USER: u32 = 999;
const TAG: &str = "stand-in";
const RABBITMQ: &str = include_str!("servers/rabbitmq.sh");
const POSTGRES: &str = include_str!("servers/postgres.sh");

/// Of the image of a server.
pub(super) fn name(server: &str) -> String {
    format!("{PREFIX}/{server}:{TAG}")
}

/// Writes one archive with the three images.
pub(super) fn write(archive: &Path) -> Result<()> {
    let major = tools::postgres(&mut |line| println!("{line}"))?.major;
    let servers = ["rabbitmq-server".to_owned(), "redis-server".to_owned(), format!("postgresql-{major}")];
    let file = archive.with_extension("layer");
    let mut layer = Layer::new(&file)?;
    for path in paths(&servers)? {
        layer.copy(&path)?;
    }
    for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        if Path::new("/").join(link).is_symlink() {
            layer.link(link, target)?;
        }
    }
    layer.folder("tmp", true)?;
    layer.text("etc/passwd", 0o644, &format!("server:x:{USER}:{USER}::/tmp:/bin/sh\n"))?;
    layer.text("etc/group", 0o644, &format!("server:x:{USER}:\n"))?;
    layer.text("etc/nsswitch.conf", 0o644, "hosts: files dns\n")?;
    layer.text("entry/rabbitmq", 0o755, RABBITMQ)?;
    layer.text("entry/postgres", 0o755, POSTGRES)?;
    let sealed = layer.seal()?;
    let images = [
        image("rabbitmq", json!({"Entrypoint": ["/entry/rabbitmq"]})),
        // As the official one: a stop that waits for no client.
        image("postgres", json!({"Entrypoint": ["/entry/postgres"], "StopSignal": "SIGINT"})),
        image("redis", json!({"Cmd": ["redis-server"]})),
    ];
    let outcome = archive::write(archive, &images, &sealed, &file);
    fs::remove_file(&file).ok();
    outcome
}

fn image(server: &str, mut config: Value) -> Image {
    config["User"] = json!(USER.to_string());
    config["Env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]);
    Image { name: name(server), config }
}

/// All files of these packages and of those that they need, in order and each once.
fn paths(servers: &[String]) -> Result<BTreeSet<PathBuf>> {
    let mut closure = Command::new("apt-cache");
    closure.args(["depends", "--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts"]);
    closure.args(["--no-breaks", "--no-replaces", "--no-enhances"]).args(servers).args(SHELL);
    let closure = run(&mut closure, "apt-cache, of the package apt,")?;
    // What a package needs stands below it with spaces before, and one that is only a name in angle brackets.
    let named = closure.lines().filter(|line| line.starts_with(|letter: char| letter.is_ascii_alphanumeric()));
    let wanted = named.filter(|name| !LEFT_OUT.iter().any(|left| name.starts_with(left)));
    // Of packages of which one is enough all are named, also those that are not there.
    let mut installed = Command::new("dpkg-query");
    let installed = run(installed.args(["--show", "--showformat=${db:Status-Status} ${Package}\\n"]), "dpkg-query")?;
    let installed: BTreeSet<&str> = installed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    let packages: Vec<&str> = wanted.filter(|name| installed.contains(name)).collect();
    for server in servers {
        ensure!(
            packages.contains(&server.as_str()),
            "the package {server} is not installed: images of servers are made from Debian's or Ubuntu's packages"
        );
    }
    let files = run(Command::new("dpkg").arg("--listfiles").args(&packages), "dpkg")?;
    let mut paths = BTreeSet::new();
    for path in files.lines().filter(|line| line.starts_with('/')).map(Path::new) {
        let read = path.strip_prefix("/usr/share").ok().and_then(|rest| rest.iter().next());
        if read.is_some_and(|folder| UNREAD.iter().any(|unread| folder == *unread)) {
            continue;
        }
        // A package may say /bin where that is a link to /usr/bin.
        let Some((parent, name)) = path.parent().zip(path.file_name()) else { continue };
        if let Ok(parent) = fs::canonicalize(parent) {
            paths.insert(parent.join(name));
        }
    }
    Ok(paths)
}
