//! How Kubernetes' control plane is started on one machine, without starting anything: keys, users, kubeconfigs and arguments. The
//! tests run it on loopback, without a node; `cargo xtask node` runs it in namespaces, with one.

mod arguments;
mod keys;
mod users;

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

pub use keys::{AUTHORITY, KUBELET, KUBELET_KEY};
pub use users::User;

/// Addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// Of the Service `kubernetes`, the first of them.
const KUBERNETES: &str = "10.96.0.1";

/// What could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or a certificate.
    #[error("failed to make the keys of the control plane: {0}")]
    Keys(#[from] rcgen::Error),
    /// A file.
    #[error("failed to write {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where its programs listen.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// etcd's clients.
    pub etcd: u16,
    /// etcd's members, of which there is one.
    pub etcd_peer: u16,
    /// The API server.
    pub api: u16,
    /// Health and metrics of the controller-manager.
    pub manager: u16,
    /// Health and metrics of the scheduler.
    pub scheduler: u16,
}

/// A node that the control plane serves.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it and the API server are seen from pods.
    pub address: Ipv4Addr,
}

/// One control plane.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// Keys, kubeconfigs and data; its own.
    pub folder: PathBuf,
    /// On loopback.
    pub ports: Ports,
    /// In the tokens of its users, so that nobody else on this machine is one of them.
    pub secret: String,
    /// `None`: pods are planned, never run.
    pub node: Option<Node>,
}

impl ControlPlane {
    /// Where the API server is, seen from this machine.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// Makes keys, and the list of users and their kubeconfigs. Gives the certificate of the authority to trust, as PEM.
    pub fn write(&self) -> Result<String, Error> {
        let authority = keys::write(self)?;
        self.put(users::TOKENS, &users::tokens(self))?;
        for user in User::all(self) {
            let text = users::kubeconfig(&self.url(), &authority, &user.token(self), "default");
            self.put(&kubeconfig_name(user.name()), &text)?;
        }
        Ok(authority)
    }

    /// The kubeconfig of one of its users.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder.join(kubeconfig_name(user.name()))
    }

    fn put(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        put(&self.folder.join(name), text)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// Writes the kubeconfig of whoever has this token, for those who find the API server at `url`. `authority`: as PEM.
pub fn write_kubeconfig(path: &Path, url: &str, authority: &str, token: &str, namespace: &str) -> Result<(), Error> {
    put(path, &users::kubeconfig(url, authority, token, namespace)).map(drop)
}

fn put(path: &Path, text: &str) -> Result<PathBuf, Error> {
    std::fs::write(path, text).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(path.to_owned())
}

fn kubeconfig_name(user: &str) -> String {
    format!("{user}.kubeconfig")
}
