//! A Kubernetes API server of a test's own: etcd and kube-apiserver, on request with the controllers and the scheduler, on loopback
//! and in a folder that goes with them. There is no node: pods are planned, never run.

mod cli;
mod node;

pub use cli::Cli;
pub use node::Node;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control_plane::{Ports, User};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::Program;
use crate::{http, ports, wait};

/// How long a program may take on a busy machine; it takes three seconds on a quiet one.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// What runs beside etcd and the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Nothing: objects are stored and checked, and nobody acts on them.
    Api,
    /// The controllers and the scheduler: a namespace gets a ServiceAccount, a Deployment gets pods, what is owned by nobody goes.
    Controllers,
}

/// The programs. They end with this value, or with the test however that ends.
pub struct ControlPlane {
    /// Clients before what they are clients of: in this order they end.
    programs: Vec<Program>,
    /// kubectl and helm, as the administrator.
    pub cli: Cli,
    client: Client,
    plan: control_plane::ControlPlane,
    authority: String,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts them and waits until they serve.
    pub async fn start(extent: Extent) -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let [etcd, etcd_peer, api, manager, scheduler]: [u16; 5] = ports::free()?;
        let plan = control_plane::ControlPlane {
            folder: folder.path().to_owned(),
            ports: Ports { etcd, etcd_peer, api, manager, scheduler },
            secret: format!("{:032x}", rand::random::<u128>()),
            node: None,
        };
        let authority = plan.write()?;
        let mut store = Program::spawn(program("etcd")?, plan.etcd(), [])?;
        store.wait_ready(&format!("http://127.0.0.1:{etcd}/health")).await?;
        // Several run at once: memory is cheaper than time.
        let server = Program::spawn(program("kube-apiserver")?, plan.api_server(), [("GOGC", "400".to_owned())])?;
        let client = http::client_trusting(authority.as_bytes())?;
        let cli = Cli { kubeconfig: plan.kubeconfig(User::Admin), home: plan.folder.clone() };
        let mut plane = Self { programs: vec![server, store], cli, client, plan, authority, folder };
        plane.await_api().await?;
        if extent == Extent::Controllers {
            // Not before the API server is ready: controllers that start before the first roles exist give up.
            let manager = Program::spawn(program("kube-controller-manager")?, plane.plan.controller_manager(), [])?;
            let scheduler = Program::spawn(program("kube-scheduler")?, plane.plan.scheduler(), [])?;
            plane.programs.splice(0..0, [scheduler, manager]);
            plane.await_controllers().await?;
        }
        Ok(plane)
    }

    /// The kubeconfig of a ServiceAccount, as its pod would have it.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.cli.kubectl(&["create", "token", account, "--namespace", namespace]).await?;
        let path = self.folder.path().join(format!("{namespace}-{account}.kubeconfig"));
        control_plane::write_kubeconfig(&path, &self.plan.url(), &self.authority, token.trim(), namespace)?;
        Ok(path)
    }

    /// Pids of its programs.
    pub fn pids(&self) -> Vec<u32> {
        self.programs.iter().map(Program::pid).collect()
    }

    /// A request as the administrator, below the server's address.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let token = User::Admin.token(&self.plan);
        self.client.request(method, format!("{}{path}", self.plan.url())).bearer_auth(token)
    }

    /// An object or a list, as JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::GET, path).send().await?;
        ensure!(answer.status().is_success(), "GET {path}: {}", answer.text().await?);
        Ok(answer.json().await?)
    }

    /// Definitions of kinds, as YAML; waits until objects of those kinds can be made.
    pub async fn define(&self, definitions: &Path) -> Result<()> {
        let folder = definitions.display().to_string();
        self.cli.kubectl(&["apply", "--server-side", "--filename", &folder]).await?;
        self.cli.await_kinds().await
    }

    async fn await_api(&mut self) -> Result<()> {
        wait::until(READY_LIMIT, "the API server", async || {
            let api = &mut self.programs[0];
            ensure!(api.ended()?.is_none(), "it ended at its start. The end of its log:\n{}", api.log_tail());
            let answer = self.request(Method::GET, "/readyz").send().await;
            Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(()))
        })
        .await
    }

    /// The controllers work once they have made what every namespace gets.
    async fn await_controllers(&self) -> Result<()> {
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        wait::until(READY_LIMIT, "the controllers", async || {
            let answer = self.request(Method::GET, path).send().await?;
            Ok((answer.status() == 200).then_some(()))
        })
        .await
    }
}

/// A program of the control plane, from the folder that `cargo xtask test` has filled.
fn program(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").context(
        "KUBEBUILDER_ASSETS is not set: run this test by `cargo xtask test`, which builds the control plane",
    )?;
    Ok(PathBuf::from(folder).join(name))
}
