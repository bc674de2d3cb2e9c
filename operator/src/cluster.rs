//! What only Kubernetes has: the election of the one operator that acts, and what is written to the objects.

mod lease;
mod status;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use service::retry::Backoff;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::context::Context;
use crate::run::Parts;
use crate::source::Scan;
use crate::source::cluster::Cluster;
use crate::worker::Ears;
use lease::Election;
use writer::Writer;

/// Namespace whose uid tells one cluster from another.
const EVERY_CLUSTER_HAS: &str = "kube-system";

/// Watches from the start, and acts while the lease is ours.
pub(crate) async fn run(parts: &Parts, scans: watch::Sender<Arc<Scan>>, ears: &mut Ears) -> anyhow::Result<()> {
    let config = Config::infer().await.context("failed to find a cluster: run in a pod, or set KUBECONFIG")?;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).context("failed to make a client of the API server")?;
    let args = &parts.args.kubernetes;
    let mut election = Election::new(client.clone(), &namespace, &args.lease, Duration::from_secs(args.lease_seconds));
    let acting = async {
        let owners = format!("k8s:{}/", cluster_name(&client, args.cluster_name.as_deref()).await);
        let cluster = Cluster::new(&client, &owners);
        let rooms = cluster.rooms();
        tokio::spawn(cluster.watch(scans, ears.again.clone(), parts.shutdown.clone()));
        loop {
            tracing::info!(namespace, lease = args.lease, "waiting for the lease");
            let term = stand_by(&mut election, ears).await;
            tracing::info!(term, "keeping the rooms of this cluster true");
            ears.scans.mark_changed();
            let context = Context::new(parts.broker.clone(), parts.service.clone());
            let writer = Writer::new(client.clone(), rooms.clone(), parts.board.clone(), context.clone(), &owners);
            let work = parts.work(context, parts.settings(owners.clone(), true)?, ears);
            // What is dropped here stops at its next await: nothing is written once the lease may be somebody else's.
            let over = tokio::select! {
                worked = work => Some(worked),
                () = writer.run(parts.shutdown.clone()) => Some(Ok(())),
                () = election.keep() => None,
            };
            if let Some(over) = over {
                return over;
            }
            parts.board.clear();
        }
    };
    let outcome = tokio::select! {
        outcome = acting => outcome,
        () = parts.shutdown.begun() => Ok(()),
    };
    election.release().await;
    outcome
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
