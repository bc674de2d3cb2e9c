//! Kubernetes' control plane and a node's programs, kubectl and helm, of `e2e/kube/go.mod`.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::go::{self, Module};
use crate::layout::Layout;

const MODULE: Module = Module {
    name: "control-plane",
    what: "Kubernetes' control plane",
    folder: "e2e/kube",
    sources: &["coredns/main.go"],
    programs: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("coredns", "./coredns"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("helm", "helm.sh/helm/v4/cmd/helm"),
    ],
    linker_flags: |go_mod| Ok(linker_flags(&go::required(go_mod, "k8s.io/kubernetes")?)),
};
/// Names a folder that has them already, as for other tools that test against Kubernetes.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The folder of the programs: the one that `KUBEBUILDER_ASSETS` names, else one in the user's cache, filled at the first call.
pub(crate) fn control_plane(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let Some(folder) = std::env::var_os(ASSETS).filter(|folder| !folder.is_empty()) else {
        return MODULE.build(layout, say);
    };
    let folder = PathBuf::from(folder);
    let missing = MODULE.missing(&folder);
    ensure!(
        missing.is_empty(),
        "{ASSETS} is {}, which has no {}: put it there, or unset the variable to have it built",
        folder.display(),
        missing.join(", ")
    );
    Ok(folder)
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
    fn programs_know_their_version() {
        assert!(linker_flags("v1.35.4").contains("-X k8s.io/component-base/version.gitMinor=35"));
    }
}
