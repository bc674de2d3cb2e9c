//! What the programs of a node are told in files. JSON is YAML.

use std::fs;

use anyhow::{Context, Result};
use control_plane::{AUTHORITY, KUBELET, KUBELET_KEY};
use serde_json::{Value, json};

use crate::images::PAUSE;
use crate::node::{DNS_ADDRESS, INSIDE, NAME};

/// Addresses of pods.
const PODS: &str = "10.244.0.0/24";

/// Writes them to the node's folder.
pub(super) fn write() -> Result<()> {
    put("containerd.toml", &containerd())?;
    put("network/bridge.conflist", &network().to_string())?;
    put("kubelet.json", &kubelet().to_string())?;
    put("kube-proxy.json", &kube_proxy().to_string())?;
    // No names but the cluster's own are answered.
    put("resolv.conf", "")
}

fn put(name: &str, text: &str) -> Result<()> {
    let path = format!("{INSIDE}/{name}");
    fs::write(&path, text).with_context(|| format!("failed to write {path}"))
}

fn containerd() -> String {
    format!(
        r#"version = 2
root = "{INSIDE}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  "io.containerd.internal.v1.opt"]
[grpc]
address = "{INSIDE}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
enable_unprivileged_ports = true
# A virtual machine's root may not make a process harder to choose when memory runs out.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{INSIDE}/network"
"#
    )
}

fn network() -> Value {
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
        "ipam": {
            "type": "host-local", "dataDir": "/run/addresses", "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }, {"type": "portmap", "capabilities": {"portMappings": true}}]})
}

fn kubelet() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{INSIDE}/containerd.sock"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{INSIDE}/resolv.conf"),
        "tlsCertFile": format!("{INSIDE}/{KUBELET}"),
        "tlsPrivateKeyFile": format!("{INSIDE}/{KUBELET_KEY}"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": format!("{INSIDE}/{AUTHORITY}")},
        },
        "authorization": {"mode": "Webhook"},
        "podLogsDir": format!("{INSIDE}/pods"),
        "volumePluginDir": format!("{INSIDE}/plugins"),
        // Images came by hand and cannot be fetched again, and the machine's disk may be fuller than a server's.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        "nodeStatusUpdateFrequency": "5s",
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
    })
}

fn kube_proxy() -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": format!("{INSIDE}/kube-proxy.kubeconfig")},
        "clusterCIDR": PODS,
        "oomScoreAdj": 0,
        "hostnameOverride": NAME,
        // Machine-wide, and not this node's to set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"localhostNodePorts": false, "syncPeriod": "30s", "minSyncPeriod": "100ms"},
    })
}
