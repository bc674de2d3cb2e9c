//! The programs of a platform and what they need in the cluster. Like a room's its pass is a few steps in a line: the spec is checked,
//! Secrets are read, the objects are built and applied, their pods asked, and what became of them is said.

mod apply;
mod build;
mod credentials;
mod load;
mod parts;
mod pods;
mod replicas;

use std::sync::Arc;
use std::time::Duration;

use contract::room::RoomName;
use kube::Client;
use service::retry::Backoff;
use service::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::connections;
use super::member::{manifest, spec};
use crate::context::Closed;
use crate::crd::chat_platform::ChatPlatformSpec;
use crate::report::{Board, Deployed, Reason};
use crate::source::Scan;
use apply::Applier;
use build::Platform;
use pods::Asker;
use replicas::Replicas;

pub(crate) use build::DemoImages;
pub(super) use build::{Given, TOKENS, complete};

/// Between two looks at the objects.
const EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the Secrets.
const SECRETS_EVERY: Duration = Duration::from_secs(30);

/// What all platforms have in common.
#[derive(Clone)]
pub(super) struct Common {
    /// Asks pods.
    http: reqwest::Client,
    /// How long no load must have asked for a pod before it goes.
    scale_down: Duration,
    /// Of the servers of demonstrations.
    images: DemoImages,
}

impl Common {
    /// For all platforms.
    pub(super) fn new(scale_down: Duration, images: DemoImages) -> reqwest::Result<Self> {
        Ok(Self { http: pods::http()?, scale_down, images })
    }
}

/// Deploys one platform.
pub(super) struct Deploy {
    client: Client,
    name: RoomName,
    board: Board,
    images: DemoImages,
    applier: Applier,
    asker: Asker,
    replicas: Replicas,
    /// From the Secrets, with the spec that named them, and when they were read.
    given: Option<(ChatPlatformSpec, Given, Instant)>,
}

impl Deploy {
    /// Does nothing before `run`.
    pub(super) fn new(common: &Common, client: &Client, name: &RoomName, board: &Board) -> Self {
        let applier = Applier::new(client.clone(), name);
        let (asker, replicas) =
            (Asker::new(client, &common.http, name), Replicas::new(client, name, common.scale_down));
        let images = common.images.clone();
        Self {
            client: client.clone(),
            name: name.clone(),
            board: board.clone(),
            images,
            applier,
            asker,
            replicas,
            given: None,
        }
    }

    /// Keeps the objects as they are to be, until shutdown or until it is dropped.
    pub(super) async fn run(mut self, mut scans: watch::Receiver<Arc<Scan>>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));
        let mut said = None;
        loop {
            let scan = scans.borrow_and_update().clone();
            let outcome = self.pass(&scan).await;
            if outcome.is_ok() {
                backoff.reset();
            }
            let pause = if outcome.is_ok() { EVERY } else { backoff.next() };
            if let Err(closed) = &outcome
                && said.as_ref() != Some(closed)
            {
                tracing::warn!(platform = %self.name, reason = closed.reason.word(), "{}", closed.message);
            }
            said = outcome.as_ref().err().cloned();
            self.board.set_deployed(Some(outcome));
            let before = manifest(&scan).map(|manifest| manifest.object.clone());
            let changed = async {
                while scans.changed().await.is_ok() {
                    if manifest(&scans.borrow()).map(|manifest| manifest.object.clone()) != before {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = shutdown.begun() => return,
                () = sleep(pause) => {}
                () = changed => {}
            }
        }
    }

    async fn pass(&mut self, scan: &Scan) -> Result<Deployed, Closed> {
        let spec = spec(&self.name, scan)?;
        let uid = manifest(scan).and_then(|manifest| manifest.owner.rsplit('/').next().map(str::to_owned));
        let (chat, users) = match (&spec.chat, &spec.users) {
            (Some(chat), Some(users)) => (chat, users),
            (None, None) if spec.demo => {
                return Err(invalid("spec.chat and spec.users are missing: a demonstration is one of programs"));
            }
            // Somebody else runs the programs.
            (None, None) => return Ok(Deployed::default()),
            (None, Some(_)) => return Err(invalid("spec.chat is missing: a platform runs both services, or none")),
            (Some(_), None) => return Err(invalid("spec.users is missing: a platform runs both services, or none")),
        };
        if spec.demo {
            credentials::keep_demo(&self.client, &self.name).await.map_err(|error| uncertain(&error))?;
        }
        let given = self.given(&spec).await?;
        let mut platform = Platform {
            name: &self.name,
            uid: uid.as_deref().unwrap_or_default(),
            spec: &spec,
            chat,
            users,
            given: &given,
            images: &self.images,
            credentials: &build::Credentials::default(),
        };
        let credentials = credentials::keep(&self.client, &self.name, &platform.issuer()).await;
        let credentials = credentials.map_err(|error| uncertain(&error))?;
        platform.credentials = &credentials;
        let objects = build::objects(&platform);
        let (found, mut faults) = self.applier.round(&objects).await.map_err(|error| unknown(&error))?;
        let pods = self.asker.ask().await.map_err(|error| unknown(&error))?;
        let (unscaled, scaling) = self.replicas.scale(&platform, &found, &pods).await;
        faults.extend(unscaled);
        if !faults.is_empty() {
            return Err(Closed::new(Reason::ApplyFailed, faults.join("; ")));
        }
        Ok(parts::deployed(&platform, &objects, &found, &pods, scaling))
    }

    async fn given(&mut self, spec: &ChatPlatformSpec) -> Result<Given, Closed> {
        if let Some((of, given, at)) = &self.given
            && of == spec
            && at.elapsed() < SECRETS_EVERY
        {
            return Ok(given.clone());
        }
        match connections::given(&self.client, &self.name, spec).await {
            Ok(given) => {
                self.given = Some((spec.clone(), given.clone(), Instant::now()));
                Ok(given)
            }
            // A Secret that is gone ends nothing that works.
            Err(closed) => match &mut self.given {
                Some((of, given, at)) if of == spec => {
                    *at = Instant::now();
                    tracing::warn!(platform = %self.name, "{}; what was read before holds", closed.message);
                    Ok(given.clone())
                }
                _ => Err(closed),
            },
        }
    }
}

fn uncertain(error: &anyhow::Error) -> Closed {
    Closed::new(Reason::ConnectionsMissing, format!("{error:#}"))
}

fn unknown(error: &kube::Error) -> Closed {
    Closed::new(Reason::ApplyFailed, format!("the API server does not say what is there: {error}"))
}

fn invalid(message: &str) -> Closed {
    Closed::new(Reason::InvalidManifest, message)
}
