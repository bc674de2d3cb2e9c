//! A Redis of a test's own, for tests that kill it.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use e2e::program::Program;
use e2e::{ports, wait};
use tempfile::TempDir;

/// Holds nothing on disk: killed, it has lost everything.
pub(crate) struct RedisServer {
    pub(crate) url: String,
    port: u16,
    folder: TempDir,
    program: Option<Program>,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        let [port]: [u16; 1] = ports::free().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { url: format!("redis://127.0.0.1:{port}"), port, folder, program: None };
        server.revive().await;
        server
    }

    /// Starts it again, empty, on the same port.
    pub(crate) async fn revive(&mut self) {
        let (port, folder) = (self.port.to_string(), self.folder.path().display().to_string());
        let args = ["--port", &port, "--bind", "127.0.0.1", "--dir", &folder, "--save", "", "--appendonly", "no"];
        self.program = Some(Program::spawn("redis-server", args, []).unwrap());
        let port = self.port;
        wait::until(Duration::from_secs(10), "a Redis of the test's own", || async move {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(()))
        })
        .await
        .unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill().unwrap();
        }
    }
}
