//! Kubernetes with one real node, through the xtask that runs the tests: pods run, Services lead to them. Nothing of it outlives the
//! test, however that ends.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::{Cli, program};
use crate::scratch::Scratch;

/// A ready node takes a tenth of this on a quiet machine; images are made before.
const LIMIT: Duration = Duration::from_mins(5);
/// Where the way into its network is, seen from inside.
const DOOR: &str = "run/node/door.sock";

/// A running node.
pub struct Node {
    /// kubectl and helm, as the administrator.
    pub cli: Cli,
    /// Its folder.
    pub folder: PathBuf,
    process: Scratch,
}

impl Node {
    /// Starts it and waits until it is ready, with images of our programs as the tests have built them.
    pub async fn start() -> Result<Self> {
        let starting = tokio::task::spawn_blocking(|| Scratch::start("node", &["--no-build".to_owned()]));
        let (process, folder) = tokio::time::timeout(LIMIT, starting)
            .await
            .with_context(|| format!("no node within {} s", LIMIT.as_secs()))?
            .context("the thread of xtask ended")??;
        let folder = PathBuf::from(folder);
        // kubectl and helm are found.
        program("helm")?;
        let cli = Cli { kubeconfig: folder.join("kubeconfig"), home: folder.join("home") };
        Ok(Self { cli, folder, process })
    }

    /// The chart's values by which it takes the images that are here.
    pub fn values(&self) -> String {
        self.folder.join("values.yaml").display().to_string()
    }

    /// A port of this machine that leads to one of a Service: through its address, as a pod would come.
    pub async fn open(&self, namespace: &str, service: &str, port: u16) -> Result<u16> {
        let address = ["get", "service", service, "--namespace", namespace, "--output=jsonpath={.spec.clusterIP}"];
        let target = format!("{}:{port}\n", self.cli.kubectl(&address).await?);
        let first = self.first_process()?;
        let door = PathBuf::from(format!("/proc/{first}/root")).join(DOOR);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("failed to listen")?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((guest, _)) = listener.accept().await {
                tokio::spawn(bring(guest, door.clone(), target.clone()));
            }
        });
        Ok(port)
    }

    /// The pid of the first process of its namespaces.
    pub fn first_process(&self) -> Result<String> {
        let pid = std::fs::read_to_string(self.folder.join("pid")).context("failed to read the node's pid")?;
        Ok(pid.split(' ').next().context("the node has no pid")?.to_owned())
    }

    /// `kill -9` of the xtask that started it.
    pub fn kill_starter(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Stops and removes it, with the starter's exit code to see.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.process.end()
    }

    /// The ends of its logs, for a test that failed.
    fn print_logs(&self) {
        let files = std::fs::read_dir(self.folder.join("logs")).into_iter().flatten().flatten().map(|file| file.path());
        for path in files.chain([self.folder.join("log")]) {
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text[text.len().saturating_sub(1_500)..]).into_owned();
            eprintln!("── the end of {}\n{text}", path.display());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

async fn bring(mut guest: TcpStream, door: PathBuf, target: String) -> std::io::Result<()> {
    let mut inside = UnixStream::connect(door).await?;
    inside.write_all(target.as_bytes()).await?;
    copy_bidirectional(&mut guest, &mut inside).await?;
    Ok(())
}
