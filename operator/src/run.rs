//! `operator run`: puts the parts together and lets them work until shutdown. Ready as soon as it serves: it waits for nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use service::health::Health;
use service::shutdown::Shutdown;
use service::telemetry::Metrics;
use tokio::sync::{Notify, mpsc, watch};

use crate::args::Run;
use crate::report::Boards;
use crate::servers::{Addresses, Servers};
use crate::source::Scan;
use crate::source::folder::Folder;
use crate::worker::{Command, Ears, Settings};
use crate::{cluster, crd, http};

/// Commands that wait.
const COMMANDS_MOST: usize = 64;
/// Requests for status that still run at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// The board of a folder, which has one platform.
const FOLDER: &str = "folder";

/// Runs until a signal says stop.
pub(crate) async fn run(args: Box<Run>, metrics: Metrics) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals();
    let listener = service::serve::bind(args.status.status)?;
    let boards = Boards::default();
    let (command_sender, commands) = mpsc::channel(COMMANDS_MOST);
    let router = http::router(boards.clone(), command_sender, Health::new(), metrics, shutdown.clone());
    let work = async {
        match &args.source.rooms {
            Some(rooms) => folder(&args, rooms, &boards, commands, &shutdown).await,
            None => cluster::run(&args, &boards, commands, &shutdown).await,
        }
        .inspect_err(|_| shutdown.begin())
    };
    let serve = service::serve::serve(listener, None, router, &shutdown, DRAIN);
    let (served, worked) = tokio::join!(serve, work);
    served.and(worked)
}

async fn folder(
    args: &Run,
    rooms: &Path,
    boards: &Boards,
    commands: mpsc::Receiver<Command>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let folder = Folder::new(rooms, args.folder_name.as_deref());
    // A wrong address is an error at the start.
    let servers = Servers::new(&Addresses::given(&args.servers)?)?;
    let settings = Settings {
        schemas: Arc::new(crd::schemas()?),
        prefix: folder.owner_prefix(),
        cluster: false,
        resync: Duration::from_secs(args.resync_seconds),
    };
    let (sender, scans) = watch::channel(Arc::new(Scan::default()));
    let again = Arc::new(Notify::new());
    tokio::spawn(folder.watch(sender, again.clone(), shutdown.clone()));
    tracing::info!(rooms = %rooms.display(), status = %args.status.status, "keeping the rooms of this folder true");
    let mut ears = Ears { scans, again, commands };
    servers.keep_rooms(boards.board(FOLDER), settings, &mut ears, shutdown).await;
    Ok(())
}
