//! `operator run`: puts the parts together and lets them work until shutdown. Ready as soon as it serves: it waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use service::health::Health;
use service::shutdown::Shutdown;
use service::telemetry::Metrics;
use tokens::ServiceTokenFile;
use tokio::sync::{Notify, mpsc, watch};

use crate::args::Run;
use crate::broker::Broker;
use crate::broker::events::Listener;
use crate::context::Context;
use crate::report::Board;
use crate::rooms_service::RoomsService;
use crate::source::Scan;
use crate::source::folder::Folder;
use crate::worker::{self, Ears, Settings};
use crate::{crd, http};

/// Hints and commands that wait.
const WAITING_MOST: usize = 1024;
/// Requests for status that still run at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs until a signal says stop.
pub(crate) async fn run(args: Box<Run>, metrics: Metrics) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals();
    let listener = service::serve::bind(args.status)?;
    let ca = args.tls_ca.as_deref();
    let broker = Broker::new(&args.management_url, &args.vhost, ca)?;
    let service = RoomsService::new(&args.chat_grpc, ServiceTokenFile::new(&args.service_token_file), ca)?;
    let folder = Folder::new(&args.rooms, args.folder_name.as_deref());
    let board = Board::default();
    let again = Arc::new(Notify::new());
    let (scan_sender, scans) = watch::channel(Arc::new(Scan::default()));
    let (hint_sender, hints) = mpsc::channel(WAITING_MOST);
    let (command_sender, commands) = mpsc::channel(WAITING_MOST);

    let events = match &args.amqp_url {
        Some(url) => Some(Listener::new(url, &args.vhost, broker.clone(), ca)?),
        None => None,
    };
    let settings = Settings {
        schemas: Arc::new(crd::schemas()?),
        prefix: folder.owner_prefix(),
        resync: Duration::from_secs(args.resync_seconds),
        listens: events.is_some(),
    };
    if let Some(events) = events {
        tokio::spawn(events.run(hint_sender, shutdown.clone()));
    }
    tokio::spawn(folder.watch(scan_sender, again.clone(), shutdown.clone()));
    let router = http::router(board.clone(), command_sender, Health::new(), metrics, shutdown.clone());
    tracing::info!(rooms = %args.rooms.display(), status = %args.status, "keeping the rooms of this folder true");
    let ears = Ears { scans, again, hints, commands };
    let work = worker::run(Context::new(broker, service), board, settings, ears, shutdown.clone());
    let serve = service::serve::serve(listener, None, router, &shutdown, DRAIN);
    let (served, ()) = tokio::join!(serve, work);
    served
}
