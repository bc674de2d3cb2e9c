//! Kubernetes' control plane and a node's programs, kubectl and helm: built from their Go modules (`e2e/kube/go.mod`), once for this machine.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};

use crate::layout::Layout;
use crate::wait;

/// Programs by their names and import paths.
const PROGRAMS: [(&str, &str); 9] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ("coredns", "./coredns"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
];
/// Names a folder that has them already, as for other tools that test against Kubernetes.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// One program with its downloads, on a small machine.
const LIMIT: Duration = Duration::from_mins(30);

/// The folder of the programs: the one that `KUBEBUILDER_ASSETS` names, else one in the user's cache, filled at the first call.
pub(crate) fn control_plane(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(ASSETS).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        let missing = missing(&folder);
        ensure!(
            missing.is_empty(),
            "{ASSETS} is {}, which has no {}: put it there, or unset the variable to have it built",
            folder.display(),
            missing.join(", ")
        );
        return Ok(folder);
    }
    let module = layout.root.join("e2e/kube");
    let folder = cache()?.join(format!("control-plane-{}", fingerprint(&module)?));
    if missing(&folder).is_empty() {
        return Ok(folder);
    }
    say(&format!("building Kubernetes' control plane into {}: some minutes, once", folder.display()));
    // Finished or not there: a build that was cut off, or one that another checkout does meanwhile, leaves nothing half.
    let unfinished = folder.with_extension(format!("{}.part", std::process::id()));
    let outcome = build(&module, &unfinished, say);
    if outcome.is_ok() && missing(&folder).is_empty() {
        fs::remove_dir_all(&unfinished).ok();
        return Ok(folder);
    }
    let outcome =
        outcome.and_then(|()| fs::rename(&unfinished, &folder).context("failed to put the programs in place"));
    if outcome.is_err() {
        fs::remove_dir_all(&unfinished).ok();
    }
    outcome.map(|()| folder)
}

fn missing(folder: &Path) -> Vec<&'static str> {
    PROGRAMS.iter().map(|(name, _)| *name).filter(|name| !folder.join(name).is_file()).collect()
}

/// Outside the checkout, so that every clone on this machine shares it.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: the control plane has no place")?.join("parlor"))
}

/// Another version of anything is another folder.
fn fingerprint(module: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    for name in ["go.mod", "go.sum", "coredns/main.go"] {
        bytes.extend(fs::read(module.join(name)).with_context(|| format!("failed to read e2e/kube/{name}"))?);
    }
    let mut name = String::new();
    for byte in digest(&SHA256, &bytes).as_ref().iter().take(6) {
        write!(name, "{byte:02x}")?;
    }
    Ok(name)
}

fn build(module: &Path, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let version = kubernetes_version(&fs::read_to_string(module.join("go.mod"))?)?;
    for (name, package) in PROGRAMS {
        say(&format!("go build {package}"));
        let mut output = OsString::from("-o=");
        output.push(folder.join(name));
        let mut command = Command::new("go");
        command.args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
        command.arg(format!("-ldflags={}", linker_flags(&version))).arg(output).arg(package);
        // The machine's own settings for Go may name another module mode.
        command.current_dir(module).env("CGO_ENABLED", "0").env("GOFLAGS", "");
        let mut child = command.spawn().context("failed to run go")?;
        let status = wait::child(&mut child, &format!("go build {package}"), LIMIT)?;
        ensure!(status.success(), "go build {package} failed ({status}): see its message above");
    }
    Ok(())
}

/// `v1.35.4` from the line that requires Kubernetes.
fn kubernetes_version(go_mod: &str) -> Result<String> {
    let mut words =
        go_mod.lines().map(|line| line.trim_start_matches("require ").split_whitespace().collect::<Vec<_>>());
    words
        .find_map(|words| {
            (words.first() == Some(&"k8s.io/kubernetes")).then(|| words.get(1).map(|word| (*word).to_owned()))
        })
        .flatten()
        .context("e2e/kube/go.mod does not require k8s.io/kubernetes")
}

/// Without symbols; and with the version, which a build of the module alone does not know and clients ask for.
fn linker_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let told = |package: &str| {
        format!("-X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
    };
    format!("-s -w {} {}", told("k8s.io/component-base/version"), told("k8s.io/client-go/pkg/version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_required_one() {
        let text = "module x\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.16\n\tk8s.io/kubernetes v1.35.4\n)\n";
        assert_eq!(kubernetes_version(text).unwrap(), "v1.35.4");
        assert_eq!(kubernetes_version("require k8s.io/kubernetes v1.35.4 // indirect\n").unwrap(), "v1.35.4");
        assert!(kubernetes_version("require k8s.io/api v0.35.4\n").is_err());
        assert!(linker_flags("v1.35.4").contains("-X k8s.io/component-base/version.gitMinor=35"));
    }
}
