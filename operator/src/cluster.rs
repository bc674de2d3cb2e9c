//! What only Kubernetes has: the election of the one operator that acts, the platforms and their servers, and what is written to
//! the objects.

mod breaks;
mod conditions;
mod connections;
mod deploy;
mod finalizer;
mod lease;
mod member;
mod platform_status;
mod platforms;
mod room_status;
mod share;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use service::retry::Backoff;
use service::shutdown::Shutdown;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;

use crate::args::Run;
use crate::crd;
use crate::report::Boards;
use crate::source::Scan;
use crate::source::cluster::Cluster;
use crate::worker::{Command, Ears, Settings};
pub(crate) use deploy::DemoImages;
use lease::Election;
use platforms::{Contexts, Platforms};
use writer::Writer;

/// Namespace whose uid tells one cluster from another.
const EVERY_CLUSTER_HAS: &str = "kube-system";
/// How long a request may be silent: a connection that broke without a word must not hold a platform for ever.
const SILENT: Duration = Duration::from_secs(20);
/// The same of a watch, which the API server ends after 290 s and until then gives a sign every minute.
const WATCH_SILENT: Duration = Duration::from_secs(295);

/// One whose answers may pause so long.
fn client_of(config: &Config, silent: Duration) -> anyhow::Result<Client> {
    let mut config = config.clone();
    config.read_timeout = Some(silent);
    Client::try_from(config).context("failed to make a client of the API server")
}

/// Watches from the start, and acts while the lease is ours.
pub(crate) async fn run(
    args: &Run,
    boards: &Boards,
    commands: mpsc::Receiver<Command>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let config = Config::infer().await.context("failed to find a cluster: run in a pod, or set KUBECONFIG")?;
    let namespace = config.default_namespace.clone();
    let client = client_of(&config, SILENT)?;
    let watching = client_of(&config, WATCH_SILENT)?;
    let lease = &args.kubernetes.lease;
    let duration = Duration::from_secs(args.kubernetes.lease_seconds);
    let mut election = Election::new(client.clone(), &namespace, lease, duration);
    let (sender, scans) = watch::channel(Arc::new(Scan::default()));
    let mut ears = Ears { scans, again: Arc::new(Notify::new()), commands };
    let schemas = Arc::new(crd::schemas()?);
    let scale_down = Duration::from_secs(args.kubernetes.scale_down_seconds);
    let deploy =
        deploy::Common::new(scale_down, args.kubernetes.demo_images()).context("failed to make a client of pods")?;
    let acting = async {
        let owners = format!("k8s:{}/", cluster_name(&client, args.kubernetes.cluster_name.as_deref()).await);
        let cluster = Cluster::new(&watching, &owners);
        let objects = cluster.objects();
        tokio::spawn(cluster.watch(sender, ears.again.clone(), shutdown.clone()));
        let settings = Settings {
            schemas: schemas.clone(),
            prefix: owners.clone(),
            cluster: true,
            resync: Duration::from_secs(args.resync_seconds),
        };
        loop {
            tracing::info!(namespace, lease, "waiting for the lease");
            let term = stand_by(&mut election, &mut ears).await;
            tracing::info!(term, "keeping the rooms of this cluster true");
            ears.scans.mark_changed();
            let contexts = Contexts::default();
            let platforms = Platforms::new(&client, &deploy, args, settings.clone(), boards, &contexts, shutdown);
            let writer = Writer::new(client.clone(), objects.clone(), boards.clone(), contexts.clone(), &owners);
            // What is dropped here stops at its next await: nothing is written once the lease may be somebody else's.
            let over = tokio::select! {
                () = platforms.run(&mut ears) => true,
                () = writer.run(shutdown.clone()) => true,
                () = election.keep() => false,
            };
            if over {
                return;
            }
            boards.keep(|_| false);
        }
    };
    tokio::select! {
        () = acting => {}
        () = shutdown.begun() => {}
    }
    election.release().await;
    Ok(())
}

/// Waits for the lease; what people ask meanwhile is not ours to answer.
async fn stand_by(election: &mut Election, ears: &mut Ears) -> u64 {
    let winning = election.win();
    tokio::pin!(winning);
    loop {
        tokio::select! {
            term = &mut winning => return term,
            Some(command) = ears.commands.recv() => drop(command),
        }
    }
}

/// The given name, else the uid that no other cluster has.
async fn cluster_name(client: &Client, given: Option<&str>) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let error = match namespaces.get(EVERY_CLUSTER_HAS).await.map(|namespace| namespace.metadata.uid) {
            Ok(Some(uid)) => return uid,
            Ok(None) => "it has no uid".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            error,
            "the cluster's identity cannot be read: it is the uid of {EVERY_CLUSTER_HAS}, or --cluster-name"
        );
        sleep(backoff.next()).await;
    }
}
