//! Who the control plane knows, besides ServiceAccounts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::ControlPlane;

pub(crate) const TOKENS: &str = "tokens.csv";

/// Has a bearer token and a kubeconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// The controllers.
    Manager,
    /// The scheduler.
    Scheduler,
    /// A node's kubelet.
    Kubelet,
    /// A node's kube-proxy.
    Proxy,
}

impl User {
    pub(crate) fn all(plane: &ControlPlane) -> Vec<Self> {
        let mut all = vec![Self::Admin, Self::Manager, Self::Scheduler];
        if plane.node.is_some() {
            all.extend([Self::Kubelet, Self::Proxy]);
        }
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }

    /// Its bearer token.
    pub fn token(self, plane: &ControlPlane) -> String {
        format!("{}-{}", self.name(), plane.secret)
    }

    /// Under which names and groups it is known.
    fn identity(self, plane: &ControlPlane) -> (String, &'static str) {
        let node = plane.node.as_ref().map_or("", |node| node.name.as_str());
        match self {
            Self::Admin => ("admin".to_owned(), "system:masters"),
            Self::Manager => ("system:kube-controller-manager".to_owned(), "system:masters"),
            Self::Scheduler => ("system:kube-scheduler".to_owned(), ""),
            Self::Kubelet => (format!("system:node:{node}"), "system:nodes"),
            Self::Proxy => ("system:kube-proxy".to_owned(), ""),
        }
    }
}

/// Lines of token, name, uid, groups.
pub(crate) fn tokens(plane: &ControlPlane) -> String {
    let users = User::all(plane).into_iter().enumerate();
    let lines = users.map(|(number, user)| {
        let (name, group) = user.identity(plane);
        format!("{},{name},{number},{group}\n", user.token(plane))
    });
    lines.collect()
}

/// JSON is YAML.
pub(crate) fn kubeconfig(url: &str, authority: &str, token: &str, namespace: &str) -> String {
    let cluster = json!({"server": url, "certificate-authority-data": STANDARD.encode(authority)});
    let context = json!({"cluster": "parlor", "user": "user", "namespace": namespace});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "parlor", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "parlor", "context": context}],
        "current-context": "parlor",
    })
    .to_string()
}
