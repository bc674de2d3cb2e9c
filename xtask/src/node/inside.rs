//! The node's side of its namespaces: mounts, network, then Kubernetes' programs, kept running.

mod configuration;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control_plane::{ControlPlane, User};

use super::{ADDRESS, INSIDE, LIMIT, NAME, VOLUMES, cgroups, door, plane, remains};
use crate::args::NodeInsideOptions;
use crate::{procfs, wait};

/// Between two looks after the programs.
const PAUSE: Duration = Duration::from_millis(200);
/// What the kubelet would set for the whole machine: it finds these values, in files that only the node sees.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// Folders inside, each somebody's.
const FOLDERS: [&str; 9] =
    ["kubelet", "pods", "plugins", "network", "tmp", "logs", "settings", "var/upper", "var/work"];

/// Makes the node and stays with it.
pub(crate) fn run(options: &NodeInsideOptions) -> Result<()> {
    // While /proc is still that of outside, where this process is called so.
    let own = fs::read_link("/proc/self").context("failed to read this process's pid")?;
    let pid: u32 = own.to_string_lossy().parse().context("a pid is a number")?;
    let start = procfs::living(pid).context("this process is not in /proc")?.start_ticks;
    mount(&options.folder)?;
    network()?;
    door::open()?;
    fs::write(Path::new(INSIDE).join(remains::PID), format!("{pid} {start}")).context("failed to write the pid")?;
    cgroups::hand_down()?;
    let node = Inside { plane: plane(Path::new(INSIDE)), programs: options.programs.clone() };
    configuration::write()?;
    let mut programs = vec![node.start("etcd", node.plane.etcd())?];
    programs.push(node.start("containerd", vec![format!("--config={INSIDE}/containerd.toml")])?);
    programs.push(node.start("kube-apiserver", node.plane.api_server())?);
    import(&options.images)?;
    node.await_api()?;
    // Not before: controllers that start before the first roles exist give up.
    programs.push(node.start("kube-controller-manager", node.plane.controller_manager())?);
    programs.push(node.start("kube-scheduler", node.plane.scheduler())?);
    programs.push(node.start("kubelet", node.kubelet())?);
    programs.push(node.start("kube-proxy", vec![format!("--config={INSIDE}/kube-proxy.json")])?);
    loop {
        std::thread::sleep(PAUSE);
        for program in &mut programs {
            program.keep()?;
        }
    }
}

/// Its own view of everything that a node writes to.
fn mount(folder: &Path) -> Result<()> {
    let groups = cgroups::mounts()?;
    words("mount -t proc proc /proc")?;
    words("mount -t sysfs sysfs /sys")?;
    words("mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup")?;
    for (kind, options, place) in groups {
        fs::create_dir_all(&place).with_context(|| format!("failed to make {}", place.display()))?;
        succeed(Command::new("mount").args(["-t", kind, "-o", &options, "cgroup"]).arg(place))?;
    }
    words("mount -t tmpfs -o mode=755 tmpfs /run")?;
    fs::create_dir(INSIDE).context("failed to make the node's folder")?;
    succeed(Command::new("mount").arg("--bind").arg(folder).arg(INSIDE))?;
    for name in FOLDERS {
        let path = Path::new(INSIDE).join(name);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
    }
    for number in 1..=VOLUMES {
        let path = format!("{INSIDE}/volumes/{number}");
        fs::create_dir_all(&path)
            .and_then(|()| open_to_all(&path))
            .with_context(|| format!("failed to make {path}"))?;
    }
    // What libraries write there without being asked where.
    words(&format!(
        "mount -t overlay -o lowerdir=/var,upperdir={INSIDE}/var/upper,workdir={INSIDE}/var/work overlay /var"
    ))?;
    // Mounts that a pod's container makes are seen by others.
    words(&format!("mount --bind {INSIDE}/kubelet {INSIDE}/kubelet"))?;
    words(&format!("mount --make-shared {INSIDE}/kubelet"))?;
    for (name, value) in SETTINGS {
        let file = format!("{INSIDE}/settings/{}", name.replace('/', "."));
        fs::write(&file, format!("{value}\n")).with_context(|| format!("failed to write {file}"))?;
        words(&format!("mount --bind {file} /proc/sys/{name}"))?;
    }
    Ok(())
}

/// Servers' images have users of their own.
fn open_to_all(path: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// An address for the node, and a way out that leads nowhere: addresses of Services have to be looked up somewhere.
fn network() -> Result<()> {
    fs::write("/proc/sys/kernel/hostname", NAME).context("failed to name the node")?;
    let [first, second, third, _] = ADDRESS.octets();
    words("ip link set lo up")?;
    words("ip link add node0 type veth peer name node1")?;
    words(&format!("ip address add {ADDRESS}/24 dev node0"))?;
    words("ip link set node0 up")?;
    words("ip link set node1 up")?;
    words(&format!("ip route add default via {first}.{second}.{third}.254 dev node0"))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("failed to let the node forward")?;
    fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1")
        .context("the kernel lets no rules see what crosses a bridge; load its module: modprobe br_netfilter")
}

/// Runs a command that is written here as a person would type it.
fn words(line: &str) -> Result<()> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    succeed(command.args(words))
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

struct Inside {
    plane: ControlPlane,
    /// Folder of Kubernetes' programs.
    programs: PathBuf,
}

impl Inside {
    /// From Kubernetes' folder, or the machine's own.
    fn start(&self, name: &'static str, args: Vec<String>) -> Result<Program> {
        let built = self.programs.join(name);
        let path = if built.is_file() { built } else { PathBuf::from(name) };
        Program::start(name, path, args)
    }

    fn kubelet(&self) -> Vec<String> {
        vec![
            format!("--root-dir={INSIDE}/kubelet"),
            format!("--config={INSIDE}/kubelet.json"),
            format!("--kubeconfig={}", self.plane.kubeconfig(User::Kubelet).display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={ADDRESS}"),
        ]
    }

    fn await_api(&self) -> Result<()> {
        let mut reason = String::new();
        let ready = wait::until(LIMIT, || {
            let mut command = Command::new(self.programs.join("kubectl"));
            command.args(["get", "--raw", "/readyz", "--request-timeout=20s"]).env("HOME", format!("{INSIDE}/tmp"));
            match succeed(command.env("KUBECONFIG", self.plane.kubeconfig(User::Admin))) {
                Ok(()) => Ok(Some(())),
                Err(error) => {
                    reason = format!("{error:#}");
                    Ok(None)
                }
            }
        })?;
        ready.with_context(|| format!("the API server is not ready after {} s: {reason}", LIMIT.as_secs()))
    }
}

/// All archives of a folder.
fn import(folder: &Path) -> Result<()> {
    let socket = format!("{INSIDE}/containerd.sock");
    wait::until(LIMIT, || Ok(Path::new(&socket).exists().then_some(())))?.context("containerd does not listen")?;
    for archive in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?.flatten() {
        let path = archive.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            let mut command = Command::new("ctr");
            command.args(["--address", &socket, "--namespace=k8s.io", "images", "import"]).arg(path);
            succeed(command.env("TMPDIR", format!("{INSIDE}/tmp")))?;
        }
    }
    Ok(())
}

/// A program that is started again when it ends, as a machine's supervisor would.
struct Program {
    name: &'static str,
    path: PathBuf,
    args: Vec<String>,
    child: Child,
}

impl Program {
    fn start(name: &'static str, path: PathBuf, args: Vec<String>) -> Result<Self> {
        let child = spawn(name, &path, &args)?;
        Ok(Self { name, path, args, child })
    }

    fn keep(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("failed to look after a program")? {
            println!("{} ended ({status}) and is started again", self.name);
            self.child = spawn(self.name, &self.path, &self.args)?;
        }
        Ok(())
    }
}

fn spawn(name: &str, path: &Path, args: &[String]) -> Result<Child> {
    let log = File::options().create(true).append(true).open(format!("{INSIDE}/logs/{name}.log"));
    let log = log.with_context(|| format!("failed to make the log of {name}"))?;
    let mut command = Command::new(path);
    command.args(args).env("TMPDIR", format!("{INSIDE}/tmp")).env("HOME", format!("{INSIDE}/tmp"));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("failed to start {name}"))
}
