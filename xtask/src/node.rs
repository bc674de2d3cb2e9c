//! `node`: Kubernetes with one real node on this machine, in namespaces of its own: no Docker, no registry, nothing left behind. The
//! images of our programs are in it, and stand-ins for the servers of a demonstration.

mod cgroups;
mod dns;
mod door;
mod inside;
mod remains;

pub(crate) use inside::run as run_inside;
pub(crate) use remains::remove;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use control_plane::{ControlPlane, Ports, User};
use serde_json::{Value, json};

use crate::args::NodeOptions;
use crate::guard::Guard;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::secrets::random_hex;
use crate::{images, interrupt, procfs, tools, wait};

/// What the node is called.
const NAME: &str = "parlor";
/// Of the node, seen from pods.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
/// Where its folder is, seen from inside: sockets have short names there.
const INSIDE: &str = "/run/node";
/// Inside, nobody else listens.
const PORTS: Ports = Ports { etcd: 2379, etcd_peer: 2380, api: 6443, manager: 10257, scheduler: 10259 };
/// How long each step may take; all together take some ten seconds on a quiet machine.
const LIMIT: Duration = Duration::from_mins(3);
/// How often it is looked after.
const PAUSE: Duration = Duration::from_millis(100);
/// So many claims of 2 GiB and less can be bound: there is nobody who makes volumes.
const VOLUMES: u32 = 8;
/// Of the Service that answers names.
const DNS_ADDRESS: &str = "10.96.0.10";

/// A running node.
struct Node {
    folder: PathBuf,
    /// Folder of Kubernetes' programs.
    programs: PathBuf,
    process: Child,
}

/// Starts a node and stays with it.
pub(crate) fn run(options: &NodeOptions) -> Result<()> {
    require_root("cargo xtask node")?;
    let mut progress = Progress::new();
    let layout = Layout::new(None, 0)?;
    tools::for_node(&mut |line| progress.say(line))?;
    let programs = tools::control_plane(&layout, &mut |line| progress.say(line))?;
    let images = layout.root.join("target/images");
    images::write_for_node(&layout, &images, !options.no_build, &programs)?;
    progress.done("images", &format!("in {}", images.display()));

    let folder = if options.scratch {
        std::env::temp_dir().join(format!("parlor-node-{}", std::process::id()))
    } else {
        layout.state.join("node")
    };
    ensure!(!remains::lives(&folder), "a node runs already: its kubeconfig is {}", folder.join("kubeconfig").display());
    remove(&folder)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("failed to make {}", folder.display()))?;
    let guard = Guard::over_node(&layout, &folder)?;
    let outcome = Node::start(folder, programs, &images).and_then(|mut node| {
        node.get_ready(&mut progress)?;
        node.greet(options.scratch, &progress)?;
        node.stay(options.scratch)
    });
    let ended = guard.end();
    outcome.and(ended)
}

/// Said before anything is built.
pub(crate) fn require_root(command: &str) -> Result<()> {
    ensure!(
        procfs::effective_user() == Some(0),
        "{command} makes namespaces, mounts and cgroups for a Kubernetes node: run it as root: sudo -E env PATH=$PATH {command}"
    );
    Ok(())
}

impl Node {
    fn start(folder: PathBuf, programs: PathBuf, images: &Path) -> Result<Self> {
        let plane = ControlPlane { folder: folder.clone(), secret: random_hex(16)?, ..plane(&folder) };
        let authority = plane.write()?;
        let listener = door::listen()?;
        let url = format!("https://{}", listener.local_addr()?);
        let path = folder.join("kubeconfig");
        control_plane::write_kubeconfig(&path, &url, &authority, &User::Admin.token(&plane), "default")?;
        let process = enter(&folder, &programs, images)?;
        door::serve(listener, folder.clone(), format!("127.0.0.1:{}", PORTS.api));
        let mut node = Self { folder, programs, process };
        node.until("namespaces", |node| ensure_lives(&node.folder))?;
        cgroups::leave(&node.folder, node.process.id())?;
        Ok(node)
    }

    fn get_ready(&mut self, progress: &mut Progress) -> Result<()> {
        self.until("the API server", |node| node.kubectl(&["get", "--raw", "/readyz"], "").map(drop))?;
        progress.done("API server", "serves");
        self.until("the node", |node| {
            let wait = ["wait", "--for=condition=Ready", "--timeout=1s", "node/parlor"];
            node.kubectl(&wait, "").map(drop)
        })?;
        progress.done("node", "ready");
        let items = [dns::objects(), volumes()].concat();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.kubectl(&["apply", "--server-side", "--filename", "-"], &list.to_string())?;
        self.until("names of Services", |node| {
            let wait = ["wait", "--for=condition=Available", "--timeout=1s", "--namespace=kube-system"];
            node.kubectl(&[&wait[..], &["deployment/coredns"]].concat(), "").map(drop)
        })?;
        progress.done("DNS", "answers");
        Ok(())
    }

    /// Asks again until it is well; the last reason is told after too long.
    fn until(&mut self, what: &str, ask: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let mut reason = None;
        let asked = wait::until(LIMIT, || {
            if let Some(status) = self.process.try_wait()? {
                bail!("the node ended ({status}): see {}", self.folder.join("log").display());
            }
            reason = ask(self).err();
            Ok(reason.is_none().then_some(()))
        })?;
        match (asked, reason) {
            (None, Some(reason)) => Err(reason.context(format!("{what}: not ready after {} s", LIMIT.as_secs()))),
            _ => Ok(()),
        }
    }

    fn kubectl(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("kubectl"));
        // One that hangs would never be asked again.
        command
            .args(args)
            .arg("--request-timeout=20s")
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("HOME", &self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to run kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        // One that ends without reading says why.
        io::Write::write_all(&mut stdin, input.as_bytes()).ok();
        drop(stdin);
        let output = child.wait_with_output().context("failed to wait for kubectl")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", args.join(" "), errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn greet(&self, scratch: bool, progress: &Progress) -> Result<()> {
        let values = self.folder.join("values.yaml");
        fs::write(&values, images::values().to_string()).context("failed to write the chart's values")?;
        if scratch {
            println!("scratch {}", self.folder.display());
            return Ok(());
        }
        println!("\n{}\n", progress.times());
        println!("  export KUBECONFIG={}", self.folder.join("kubeconfig").display());
        println!("  export PATH={}:$PATH    # kubectl and helm", self.programs.display());
        println!("  helm install parlor-crds charts/parlor-crds");
        println!("  until kubectl get chatplatforms; do sleep 1; done");
        println!("  helm install parlor charts/parlor --set demo=true --values {}\n", values.display());
        println!("Ctrl-C stops it and removes everything that was in it.");
        Ok(())
    }

    /// Until Ctrl-C, or for a test until the end of standard input.
    fn stay(&mut self, scratch: bool) -> Result<()> {
        let input = scratch.then(|| std::thread::spawn(|| io::copy(&mut io::stdin().lock(), &mut io::sink())));
        while !interrupt::asked() && !input.as_ref().is_some_and(std::thread::JoinHandle::is_finished) {
            if let Some(status) = self.process.try_wait()? {
                bail!("the node ended ({status}): see {}", self.folder.join("log").display());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // With the first process of its namespaces all others end.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn ensure_lives(folder: &Path) -> Result<()> {
    ensure!(remains::lives(folder), "its first process does not say yet that it is there");
    Ok(())
}

/// As it is seen by whoever sees its folder there.
fn plane(folder: &Path) -> ControlPlane {
    let node = control_plane::Node { name: NAME.to_owned(), address: ADDRESS };
    ControlPlane { folder: folder.to_owned(), ports: PORTS, secret: String::new(), node: Some(node) }
}

/// Starts the first process of the node's namespaces. When this process ends, however that comes, the kernel kills it.
fn enter(folder: &Path, programs: &Path, images: &Path) -> Result<Child> {
    let log = fs::File::create(folder.join("log")).context("failed to make the node's log")?;
    let groups = cgroups::make(folder)?;
    let xtask = procfs::own_path()?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "sh", "-c", ENTER]).arg(groups);
    command.args(["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child=KILL"]);
    command.args(["--propagation", "private", "--", "sh", "-c", FIRST]);
    command.arg(xtask).args(["node-inside", "--folder"]).arg(folder);
    command.arg("--programs").arg(programs).arg("--images").arg(images);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("failed to make namespaces: setpriv and unshare, of the package util-linux, are needed")
}

/// Goes into the cgroups that are listed in the file, then becomes what follows.
const ENTER: &str = r#"while read -r group; do echo $$ > "$group/cgroup.procs" || exit 1; done < "$0"; exec "$@""#;
/// A shell that waits for its child also waits for those that lost their parents, which is the first process's duty.
const FIRST: &str = r#""$0" "$@" & wait $!"#;

/// Volumes for the claims of a demonstration, which name no class.
fn volumes() -> Vec<Value> {
    let volume = |number: u32| {
        let path = format!("{INSIDE}/volumes/{number}");
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": format!("volume-{number}")},
            "spec": {
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": path, "type": "Directory"},
            },
        })
    };
    (1..=VOLUMES).map(volume).collect()
}
