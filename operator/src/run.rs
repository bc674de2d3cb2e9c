//! `operator run`: puts the parts together and lets them work until shutdown. Ready as soon as it serves: it waits for nobody.

use std::path::Path;
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
use crate::{cluster, crd, http};

/// Hints and commands that wait.
const WAITING_MOST: usize = 1024;
/// Requests for status that still run at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// What both sources of manifests need.
pub(crate) struct Parts {
    /// From the command line.
    pub(crate) args: Box<Run>,
    /// RabbitMQ.
    pub(crate) broker: Broker,
    /// chat-service.
    pub(crate) service: RoomsService,
    /// What `/status` shows.
    pub(crate) board: Board,
    /// Ends everything.
    pub(crate) shutdown: Shutdown,
}

/// Runs until a signal says stop.
pub(crate) async fn run(args: Box<Run>, metrics: Metrics) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals();
    let listener = service::serve::bind(args.status)?;
    let ca = args.tls_ca.as_deref();
    let broker = Broker::new(&args.management_url, &args.vhost, ca)?;
    let service = RoomsService::new(&args.chat_grpc, ServiceTokenFile::new(&args.service_token_file), ca)?;
    let board = Board::default();
    let (command_sender, commands) = mpsc::channel(WAITING_MOST);
    let router = http::router(board.clone(), command_sender, Health::new(), metrics, shutdown.clone());
    let rooms = args.source.rooms.clone();
    let parts = Parts { args, broker, service, board, shutdown: shutdown.clone() };
    // A wrong address is an error at the start.
    parts.listener()?;
    let (scan_sender, scans) = watch::channel(Arc::new(Scan::default()));
    let (_, hints) = mpsc::channel(1);
    let mut ears = Ears { scans, again: Arc::new(Notify::new()), hints, commands };
    let work = async {
        match &rooms {
            Some(rooms) => folder(&parts, rooms, scan_sender, &mut ears).await,
            None => cluster::run(&parts, scan_sender, &mut ears).await,
        }
        .inspect_err(|_| parts.shutdown.begin())
    };
    let serve = service::serve::serve(listener, None, router, &shutdown, DRAIN);
    let (served, worked) = tokio::join!(serve, work);
    served.and(worked)
}

async fn folder(parts: &Parts, rooms: &Path, scans: watch::Sender<Arc<Scan>>, ears: &mut Ears) -> anyhow::Result<()> {
    let folder = Folder::new(rooms, parts.args.folder_name.as_deref());
    let settings = parts.settings(folder.owner_prefix(), false)?;
    tokio::spawn(folder.watch(scans, ears.again.clone(), parts.shutdown.clone()));
    tracing::info!(rooms = %rooms.display(), status = %parts.args.status, "keeping the rooms of this folder true");
    parts.work(Context::new(parts.broker.clone(), parts.service.clone()), settings, ears).await
}

impl Parts {
    /// What the worker is told. `prefix`: what owners begin with.
    pub(crate) fn settings(&self, prefix: String, cluster: bool) -> anyhow::Result<Settings> {
        Ok(Settings {
            schemas: Arc::new(crd::schemas()?),
            prefix,
            cluster,
            resync: Duration::from_secs(self.args.resync_seconds),
            listens: self.args.amqp_url.is_some(),
        })
    }

    /// The worker, and what it hears of RabbitMQ's events, until shutdown or until it is dropped.
    pub(crate) async fn work(&self, context: Context, settings: Settings, ears: &mut Ears) -> anyhow::Result<()> {
        let (hint_sender, hints) = mpsc::channel(WAITING_MOST);
        ears.hints = hints;
        let listener = self.listener()?;
        let listen = async move {
            match listener {
                Some(listener) => listener.run(hint_sender, self.shutdown.clone()).await,
                None => drop(hint_sender),
            }
        };
        let work = worker::run(context, self.board.clone(), settings, ears, &self.shutdown);
        tokio::join!(listen, work);
        Ok(())
    }

    fn listener(&self) -> anyhow::Result<Option<Listener>> {
        let args = &self.args;
        let ca = args.tls_ca.as_deref();
        args.amqp_url.as_ref().map(|url| Listener::new(url, &args.vhost, self.broker.clone(), ca)).transpose()
    }
}
