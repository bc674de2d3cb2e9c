//! The pages of `docs/tour`, and what `docs/kubernetes` says of kubectl, typed as they stand there: in a network of their own, so that
//! the ports are those of the pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::kube::Node;
use e2e::scratch::xtask;
use e2e::transcript::{self, Step};
use tokio::process::Command;

/// Ten times what the pages take on a quiet machine.
const LIMIT: Duration = Duration::from_mins(6);
/// With the first process of its namespace all others end: servers, programs, and those that a page left running.
const ALONE: [&str; 6] = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"];
/// Of the API server, in the node's own network.
const API: &str = "https://127.0.0.1:6443";

fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().context("this crate is in no folder")
}

fn pages(names: &[&str]) -> Result<Vec<Vec<Step>>> {
    let folder = root()?.join("docs");
    let page = |name: &&str| {
        let text = fs::read_to_string(folder.join(name)).with_context(|| format!("failed to read {name}"))?;
        let steps = transcript::steps(name, &text);
        ensure!(!steps.is_empty(), "{name} has no step");
        Ok(steps)
    };
    names.iter().map(page).collect()
}

/// A folder that looks like the root of the repository, where the pages may write.
fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root()?.join("charts"), folder.path().join("charts"))?;
    fs::create_dir_all(folder.path().join("examples/rooms"))?;
    for file in fs::read_dir(root()?.join("examples/rooms"))?.flatten() {
        fs::copy(file.path(), folder.path().join("examples/rooms").join(file.file_name()))?;
    }
    Ok(folder)
}

#[tokio::test]
async fn the_pages_on_this_machine_print_what_they_say() {
    let folder = folder().unwrap();
    let mut shell = Command::new("setpriv");
    shell.args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--"]).args(ALONE);
    shell.args(["bash", "--noprofile", "--norc"]).current_dir(folder.path());
    shell.env("HOME", folder.path()).env("TMPDIR", folder.path());
    // As the pages are typed in the root of the repository, with programs that are built.
    let before = format!(
        "ip link set lo up
         here=$PWD
         cargo() {{
             local verb=$2; shift 2
             [ $verb = up ] && set -- --no-build --rooms \"$here/examples/rooms\" \"$@\"
             (cd '{}' && '{}' $verb --state \"$here/.parlor\" \"$@\")
         }}",
        root().unwrap().display(),
        xtask().unwrap().display()
    );
    let pages = pages(&[
        "tour/README.md",
        "tour/1-socket.md",
        "tour/2-grpc.md",
        "tour/3-queues.md",
        "tour/4-memory.md",
        "tour/5-failure.md",
    ]);
    transcript::run(shell, &before, &pages.unwrap(), LIMIT).await.unwrap();
}

#[tokio::test]
async fn the_pages_in_kubernetes_print_what_they_say() {
    let node = Node::start().await.unwrap();
    let folder = folder().unwrap();
    let state = folder.path().join(".parlor/node");
    fs::create_dir_all(&state).unwrap();
    fs::copy(node.values(), state.join("values.yaml")).unwrap();
    // JSON is YAML.
    let kubeconfig = fs::read_to_string(&node.cli.kubeconfig).unwrap();
    let mut kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).unwrap();
    kubeconfig["clusters"][0]["cluster"]["server"] = API.into();
    fs::write(state.join("kubeconfig"), kubeconfig.to_string()).unwrap();

    let mut shell = Command::new("setpriv");
    shell.args(["--pdeathsig", "KILL", "--", "nsenter", "--target", &node.first_process().unwrap(), "--net", "--"]);
    shell.args(ALONE).args(["bash", "--noprofile", "--norc"]).current_dir(folder.path()).env("HOME", folder.path());
    shell.env("KUBECONFIG", state.join("kubeconfig"));
    // kubectl and helm.
    let programs = std::env::var("KUBEBUILDER_ASSETS").context("KUBEBUILDER_ASSETS is not set").unwrap();
    shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
    let pages = pages(&["tour/6-kubernetes.md", "kubernetes/rooms.md"]).unwrap();
    transcript::run(shell, "", &pages, LIMIT).await.unwrap();
}
