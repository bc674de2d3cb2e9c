//! What each program is told.

use crate::keys::{ACCOUNTS_KEY, ACCOUNTS_PUBLIC, AUTHORITY, CLIENT, CLIENT_KEY, SERVER, SERVER_KEY};
use crate::users::TOKENS;
use crate::{ControlPlane, SERVICES, User};

impl ControlPlane {
    /// Of `etcd`.
    pub fn etcd(&self) -> Vec<String> {
        let address = |port: u16| format!("http://127.0.0.1:{port}");
        let (client, peer) = (address(self.ports.etcd), address(self.ports.etcd_peer));
        vec![
            "--name=one".to_owned(),
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=one={peer}"),
            // Alone, it elects itself at once; and nobody needs the data afterwards.
            "--heartbeat-interval=10".to_owned(),
            "--election-timeout=100".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }

    /// Of `kube-apiserver`.
    pub fn api_server(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.path(name));
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.api),
            file("token-auth-file", TOKENS),
            file("tls-cert-file", SERVER),
            file("tls-private-key-file", SERVER_KEY),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            file("service-account-key-file", ACCOUNTS_PUBLIC),
            file("service-account-signing-key-file", ACCOUNTS_KEY),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--profiling=false".to_owned(),
        ];
        let Some(node) = &self.node else {
            let alone = ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"];
            arguments.extend(alone.map(str::to_owned));
            arguments.extend(["--endpoint-reconciler-type=none", "--authorization-mode=RBAC"].map(str::to_owned));
            return arguments;
        };
        arguments.extend([
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", node.address),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            file("client-ca-file", AUTHORITY),
            // For logs, exec and port-forward.
            file("kubelet-certificate-authority", AUTHORITY),
            file("kubelet-client-certificate", CLIENT),
            file("kubelet-client-key", CLIENT_KEY),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ]);
        arguments
    }

    /// Of `kube-controller-manager`. One that starts before the API server is ready gives up.
    pub fn controller_manager(&self) -> Vec<String> {
        let mut arguments = self.client(User::Manager, self.ports.manager);
        arguments.extend([
            // One client without a brake: else the first pod takes five seconds.
            "--use-service-account-credentials=false".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            format!("--service-account-private-key-file={}", self.path(ACCOUNTS_KEY)),
            format!("--root-ca-file={}", self.path(AUTHORITY)),
            // The default is a folder below /usr.
            format!("--flex-volume-plugin-dir={}", self.path("plugins")),
        ]);
        arguments
    }

    /// Of `kube-scheduler`.
    pub fn scheduler(&self) -> Vec<String> {
        self.client(User::Scheduler, self.ports.scheduler)
    }

    /// Of one of the API server's own clients.
    fn client(&self, user: User, port: u16) -> Vec<String> {
        let kubeconfig = self.kubeconfig(user).display().to_string();
        vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", self.path(user.name())),
            "--leader-elect=false".to_owned(),
            "--profiling=false".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::{ControlPlane, Node, Ports};
    use std::net::Ipv4Addr;

    #[test]
    fn every_file_that_a_program_is_told_of_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports { etcd: 1, etcd_peer: 2, api: 3, manager: 4, scheduler: 5 };
        let node = Node { name: "node".to_owned(), address: Ipv4Addr::new(10, 213, 0, 1) };
        for node in [None, Some(node)] {
            let plane =
                ControlPlane { folder: folder.path().to_owned(), ports, secret: "s".to_owned(), node: node.clone() };
            plane.write().unwrap();
            for argument in [plane.api_server(), plane.controller_manager(), plane.scheduler()].concat() {
                let Some((_, path)) = argument.split_once('=').filter(|(_, path)| path.starts_with('/')) else {
                    continue;
                };
                let is_folder = argument.starts_with("--cert-dir") || argument.starts_with("--flex");
                assert!(is_folder || std::path::Path::new(path).is_file(), "{argument}");
            }
            assert_eq!(folder.path().join("kubelet.kubeconfig").exists(), node.is_some());
        }
    }
}
