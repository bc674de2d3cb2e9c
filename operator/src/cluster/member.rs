//! One platform: its servers are found, its rooms kept true in them, and both anew when the Secrets or the addresses change.

use std::sync::Arc;
use std::time::Duration;

use contract::room::RoomName;
use kube::Client;
use service::retry::Backoff;
use service::shutdown::Shutdown;
use tokio::time::{Instant, sleep, sleep_until};

use super::connections;
use super::deploy::{self, Deploy};
use super::platforms::Contexts;
use crate::context::Closed;
use crate::crd::chat_platform::ChatPlatformSpec;
use crate::report::{Board, Reason, RoomReport};
use crate::servers::{Addresses, Servers};
use crate::source::{Manifest, Scan};
use crate::worker::{Ears, Settings};

/// Between two looks at the Secrets.
const EVERY: Duration = Duration::from_secs(30);
/// The same while a server refuses us, or a Secret is missing.
const SOON: Duration = Duration::from_secs(2);

/// A platform.
pub(super) struct Member {
    /// Its namespace and name.
    pub(super) name: RoomName,
    /// The API server.
    pub(super) client: Client,
    /// For its programs.
    pub(super) deploy: deploy::Common,
    /// gRPC addresses of its chat-service.
    pub(super) chat_grpc: Vec<String>,
    /// Of its worker.
    pub(super) settings: Settings,
    /// What is said of its rooms.
    pub(super) board: Board,
    /// Where others see what is known of its servers.
    pub(super) contexts: Contexts,
    /// Ends everything.
    pub(super) shutdown: Shutdown,
}

impl Member {
    /// Works until shutdown, or until it is dropped. `ears` hear of this platform alone.
    pub(super) async fn run(self, ears: Ears) {
        let deploy = Deploy::new(&self.deploy, &self.client, &self.name, &self.board);
        let deploying = deploy.run(ears.scans.clone(), self.shutdown.clone());
        tokio::join!(deploying, self.keep_rooms(ears));
    }

    async fn keep_rooms(&self, mut ears: Ears) {
        let mut backoff = Backoff::new(SOON / 2, SOON);
        loop {
            let scan = ears.scans.borrow().clone();
            match self.connect(&scan).await {
                Ok((addresses, servers)) => {
                    tracing::info!(platform = %self.name, "the platform's servers are known");
                    self.contexts.insert(&self.name, servers.context());
                    // A worker begins with what is there.
                    ears.scans.mark_changed();
                    let moved = self.moved(ears.scans.clone(), &addresses);
                    let (board, settings) = (self.board.clone(), self.settings.clone());
                    tokio::select! {
                        () = servers.keep_rooms(board, settings, &mut ears, &self.shutdown) => return,
                        () = moved => tracing::info!(platform = %self.name, "the platform's connections changed"),
                    }
                }
                Err(closed) => {
                    self.say(&scan, &closed);
                    tokio::select! {
                        () = self.shutdown.begun() => return,
                        _ = ears.scans.changed() => {}
                        // Nobody works who could obey.
                        Some(command) = ears.commands.recv() => drop(command),
                        () = sleep(backoff.next()) => {}
                    }
                }
            }
        }
    }

    async fn connect(&self, scan: &Scan) -> Result<(Addresses, Servers), Closed> {
        let addresses = self.read(scan).await?;
        let servers =
            Servers::new(&addresses).map_err(|error| Closed::new(Reason::ConnectionsMissing, format!("{error:#}")))?;
        Ok((addresses, servers))
    }

    async fn read(&self, scan: &Scan) -> Result<Addresses, Closed> {
        connections::read(&self.client, &self.name, &spec(&self.name, scan)?, &self.chat_grpc).await
    }

    /// Rooms that no worker speaks of.
    fn say(&self, scan: &Scan, closed: &Closed) {
        let message = format!("ChatPlatform {}: {}", self.name, closed.message);
        let rooms = scan.files.values().flat_map(|file| &file.rooms);
        let reports = rooms.map(|room| {
            let report = RoomReport::not_ready(closed.reason, message.as_str());
            (room.room.clone(), RoomReport { generation: room.generation, ..report })
        });
        self.board.set_rooms(reports.collect::<Vec<_>>());
        self.board.set_servers(Err(closed.clone()));
    }

    /// Returns once the servers are to be reached in another way. A Secret that is gone, or cannot be read, ends nothing that works.
    async fn moved(&self, mut scans: tokio::sync::watch::Receiver<Arc<Scan>>, now: &Addresses) {
        let mut changes = self.board.changes();
        let mut rabbitmq = spec(&self.name, &scans.borrow()).ok().and_then(|spec| spec.rabbitmq);
        let mut read_at = Instant::now();
        let mut said = None;
        loop {
            let refused = self.board.servers().is_some_and(|servers| servers.is_err_and(|closed| is_refusal(&closed)));
            let due = read_at + if refused { SOON } else { EVERY };
            tokio::select! {
                () = sleep_until(due) => {}
                Ok(()) = changes.changed() => continue,
                Ok(()) = scans.changed() => {
                    let new = spec(&self.name, &scans.borrow_and_update()).ok().and_then(|spec| spec.rabbitmq);
                    if new == rabbitmq {
                        continue;
                    }
                    rabbitmq = new;
                }
            }
            read_at = Instant::now();
            let scan = scans.borrow().clone();
            match self.read(&scan).await {
                Ok(new) if new != *now => return,
                Ok(_) => said = None,
                Err(closed) if said.as_ref() != Some(&closed) => {
                    tracing::warn!(platform = %self.name, "{}; what was read before holds", closed.message);
                    said = Some(closed);
                }
                Err(_) => {}
            }
        }
    }
}

/// A server knows us no more: perhaps the Secret does.
fn is_refusal(closed: &Closed) -> bool {
    matches!(closed.reason, Reason::BrokerRefused | Reason::RoomsServiceRefused)
}

/// The manifest of the platform of this share.
pub(super) fn manifest(scan: &Scan) -> Option<&Arc<Manifest>> {
    scan.files.values().find_map(|file| file.platforms.first())
}

/// The spec of the platform of this share, with the servers that a demonstration has of its own.
pub(super) fn spec(platform: &RoomName, scan: &Scan) -> Result<ChatPlatformSpec, Closed> {
    let spec = manifest(scan).map(|manifest| manifest.object["spec"].clone()).filter(|spec| !spec.is_null());
    let Some(spec) = spec else { return Ok(ChatPlatformSpec::default()) };
    let spec = serde_json::from_value(spec);
    let spec = spec.map_err(|error| Closed::new(Reason::InvalidManifest, format!("spec: {error}")))?;
    Ok(deploy::complete(platform, spec))
}
