//! A Kubernetes API server of a test's own: etcd and kube-apiserver, on request with the controllers and the scheduler, on loopback
//! and in a folder that goes with them. There is no node: pods are planned, never run.

mod certificates;
mod cli;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::Program;
use crate::{http, ports, wait};

/// How long a program may take on a busy machine; it takes three seconds on a quiet one.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Bearer token of the user who may do everything.
const ADMIN: &str = "test-admin";
/// Bearer tokens of the control plane's own programs.
const MANAGER: &str = "test-manager";
const SCHEDULER: &str = "test-scheduler";
/// Names of programs, of their kubeconfigs and of their folders.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const KUBE_SCHEDULER: &str = "kube-scheduler";

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
    client: Client,
    url: String,
    folder: TempDir,
}

impl ControlPlane {
    /// Starts them and waits until they serve.
    pub async fn start(extent: Extent) -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let place = folder.path();
        let authority = certificates::write(place)?;
        let [etcd_port, peer_port, api_port, manager_port, scheduler_port]: [u16; 5] = ports::free()?;
        let url = format!("https://127.0.0.1:{api_port}");
        for (name, token) in [("admin", ADMIN), (CONTROLLER_MANAGER, MANAGER), (KUBE_SCHEDULER, SCHEDULER)] {
            write_kubeconfig(place, name, &url, token, "default")?;
        }
        let mut etcd = start_etcd(place, etcd_port, peer_port)?;
        etcd.wait_ready(&format!("http://127.0.0.1:{etcd_port}/health")).await?;
        let mut api = start_api(place, etcd_port, api_port)?;
        let client = http::client_trusting(authority.as_bytes())?;
        await_api(&mut api, &client, &url).await?;
        if extent == Extent::Api {
            return Ok(Self { programs: vec![api, etcd], client, url, folder });
        }
        // Not before the API server is ready: controllers that start before the first roles exist give up.
        let (manager, scheduler) =
            (start_manager(place, manager_port)?, start_client(place, KUBE_SCHEDULER, scheduler_port, vec![])?);
        let plane = Self { programs: vec![scheduler, manager, api, etcd], client, url, folder };
        plane.await_controllers().await?;
        Ok(plane)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig(self.folder.path(), "admin")
    }

    /// The kubeconfig of a ServiceAccount, as its pod would have it.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self.kubectl(&["create", "token", account, "--namespace", namespace]).await?;
        let name = format!("{namespace}-{account}");
        write_kubeconfig(self.folder.path(), &name, &self.url, token.trim(), namespace)?;
        Ok(kubeconfig(self.folder.path(), &name))
    }

    /// Pids of its programs.
    pub fn pids(&self) -> Vec<u32> {
        self.programs.iter().map(Program::pid).collect()
    }

    /// A request as the administrator, below the server's address.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(ADMIN)
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
        self.kubectl(&["apply", "--server-side", "--filename", &folder]).await?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "--filename", &folder]).await?;
        Ok(())
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

async fn await_api(api: &mut Program, client: &Client, url: &str) -> Result<()> {
    wait::until(READY_LIMIT, "the API server", async || {
        ensure!(api.ended()?.is_none(), "it ended at its start. The end of its log:\n{}", api.log_tail());
        let answer = client.get(format!("{url}/readyz")).bearer_auth(ADMIN).send().await;
        Ok(answer.is_ok_and(|answer| answer.status() == 200).then_some(()))
    })
    .await
}

/// A program of the control plane, from the folder that `cargo xtask test` has filled.
fn program(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").context(
        "KUBEBUILDER_ASSETS is not set: run this test by `cargo xtask test`, which builds the control plane",
    )?;
    Ok(PathBuf::from(folder).join(name))
}

fn start_etcd(folder: &Path, port: u16, peer_port: u16) -> Result<Program> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let args = [
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=test={peer}"),
        // Alone, it elects itself at once; and nobody needs the data after the test.
        "--heartbeat-interval=10".to_owned(),
        "--election-timeout=100".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Program::spawn(program("etcd")?, args, [])
}

fn start_api(folder: &Path, etcd_port: u16, port: u16) -> Result<Program> {
    let tokens = [
        format!("{ADMIN},admin,1,system:masters"),
        format!("{MANAGER},system:kube-controller-manager,2,system:masters"),
        format!("{SCHEDULER},system:kube-scheduler,3"),
    ];
    let token_file = folder.join("tokens.csv");
    std::fs::write(&token_file, tokens.join("\n")).context("failed to write the tokens")?;
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        file("token-auth-file", "tokens.csv"),
        file("tls-cert-file", certificates::SERVER),
        file("tls-private-key-file", certificates::SERVER_KEY),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", certificates::ACCOUNTS_PUBLIC),
        file("service-account-signing-key-file", certificates::ACCOUNTS_KEY),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
    ];
    // Several run at once: memory is cheaper than time.
    Program::spawn(program("kube-apiserver")?, args, [("GOGC", "400".to_owned())])
}

fn start_manager(folder: &Path, port: u16) -> Result<Program> {
    let more = vec![
        // One client without a brake: else the first pod takes five seconds.
        "--use-service-account-credentials=false".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        format!("--service-account-private-key-file={}", folder.join(certificates::ACCOUNTS_KEY).display()),
        format!("--root-ca-file={}", folder.join(certificates::AUTHORITY).display()),
    ];
    start_client(folder, CONTROLLER_MANAGER, port, more)
}

/// Runs one of the API server's own clients.
fn start_client(folder: &Path, name: &str, port: u16, more: Vec<String>) -> Result<Program> {
    let kubeconfig = kubeconfig(folder, name).display().to_string();
    let mut args = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", folder.join(name).display()),
        "--leader-elect=false".to_owned(),
    ];
    args.extend(more);
    Program::spawn(program(name)?, args, [])
}

fn kubeconfig(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.kubeconfig"))
}

/// JSON is YAML.
fn write_kubeconfig(folder: &Path, name: &str, url: &str, token: &str, namespace: &str) -> Result<()> {
    let authority = folder.join(certificates::AUTHORITY);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
        "current-context": "test",
    });
    std::fs::write(kubeconfig(folder, name), config.to_string()).context("failed to write a kubeconfig")
}
