//! The platforms of a cluster: each has a worker of its own, which sees its rooms and no others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::room::RoomName;
use kube::Client;
use service::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::breaks::Breaks;
use super::deploy;
use super::member::Member;
use super::share::{self, Shares};
use crate::args::Run;
use crate::context::Context;
use crate::report::{Boards, Reason};
use crate::source::{Manifest, Scan};
use crate::worker::{Command, Ears, Settings};

/// The board of rooms that no platform takes.
const HOMELESS: &str = "";
/// Commands that wait for a worker.
const COMMANDS_MOST: usize = 16;
/// While it is not known which platform has a room already, or a worker that broke rests.
const SOON: Duration = Duration::from_millis(500);

/// What is known of the servers of each platform. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Contexts(Arc<Mutex<BTreeMap<RoomName, Context>>>);

impl Contexts {
    /// This platform's servers are these now.
    pub(super) fn insert(&self, platform: &RoomName, context: &Context) {
        self.lock().insert(platform.clone(), context.clone());
    }

    /// One platform's.
    pub(super) fn of(&self, platform: &RoomName) -> Option<Context> {
        self.lock().get(platform).cloned()
    }

    fn keep(&self, keep: impl Fn(&RoomName) -> bool) {
        self.lock().retain(|platform, _| keep(platform));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RoomName, Context>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers.
pub(super) struct Platforms<'a> {
    client: &'a Client,
    deploy: &'a deploy::Common,
    args: &'a Run,
    settings: Settings,
    boards: &'a Boards,
    contexts: &'a Contexts,
    shutdown: &'a Shutdown,
    workers: BTreeMap<RoomName, Worker>,
    breaks: Breaks,
    /// Those that are dropped end.
    tasks: JoinSet<RoomName>,
}

struct Worker {
    scans: watch::Sender<Arc<Scan>>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
    began: Instant,
}

impl<'a> Platforms<'a> {
    /// None works before `run`.
    pub(super) fn new(
        client: &'a Client,
        deploy: &'a deploy::Common,
        args: &'a Run,
        settings: Settings,
        boards: &'a Boards,
        contexts: &'a Contexts,
        shutdown: &'a Shutdown,
    ) -> Self {
        let (workers, breaks, tasks) = (BTreeMap::new(), Breaks::default(), JoinSet::new());
        Self { client, deploy, args, settings, boards, contexts, shutdown, workers, breaks, tasks }
    }

    /// Works until shutdown, or until it is dropped.
    pub(super) async fn run(mut self, ears: &mut Ears) {
        let mut scan: Option<Arc<Scan>> = None;
        loop {
            let unfinished = scan.as_ref().is_some_and(|scan| self.see(scan, ears));
            tokio::select! {
                () = self.shutdown.begun() => break,
                Ok(()) = ears.scans.changed() => scan = Some(ears.scans.borrow_and_update().clone()),
                Some(command) = ears.commands.recv() => self.forward(command),
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = sleep(SOON), if unfinished => {}
            }
        }
        // They end by themselves.
        while self.tasks.join_next().await.is_some() {}
    }

    /// Gives each worker its share; true while it is not known where some room belongs, or a worker is still to be started.
    fn see(&mut self, scan: &Scan, ears: &Ears) -> bool {
        let Shares { scans, homeless } = share::share(scan, |platform, room| self.holds(platform, room));
        self.workers.retain(|platform, worker| {
            let stays = scans.contains_key(platform);
            if !stays {
                tracing::info!(%platform, "the platform is gone; its data stay as they are");
                worker.task.abort();
            }
            stays
        });
        self.contexts.keep(|platform| scans.contains_key(platform));
        self.breaks.keep(|platform| scans.contains_key(platform));
        let mut unfinished = homeless.values().any(|report| report.reason == Reason::Pending);
        self.boards.keep(|name| name == HOMELESS || scans.keys().any(|platform| platform.to_string() == name));
        for (platform, share) in scans {
            match self.workers.get(&platform) {
                Some(worker) => {
                    worker.scans.send_if_modified(|before| {
                        let news = !share.same(before);
                        if news {
                            *before = Arc::new(share);
                        }
                        news
                    });
                }
                None if self.breaks.rests(&platform, Instant::now()) => unfinished = true,
                None => self.start(platform, share, ears),
            }
        }
        let board = self.boards.board(HOMELESS);
        board.keep_rooms(|room| homeless.contains_key(room));
        board.set_rooms(homeless);
        unfinished
    }

    fn holds(&self, platform: &RoomName, room: &Manifest) -> Option<bool> {
        let context = self.contexts.of(platform)?;
        let world = context.world();
        let row = world.rows.get(&room.room);
        (!world.platform_id.is_empty()).then(|| row.is_some_and(|row| row.owner_uid == *room.owner))
    }

    fn start(&mut self, platform: RoomName, share: Scan, ears: &Ears) {
        let (scan_sender, scans) = watch::channel(Arc::new(share));
        let (command_sender, commands) = mpsc::channel(COMMANDS_MOST);
        let member = Member {
            name: platform.clone(),
            client: self.client.clone(),
            deploy: self.deploy.clone(),
            chat_grpc: self.chat_grpc(&platform),
            settings: self.settings.clone(),
            board: self.boards.board(&platform.to_string()),
            contexts: self.contexts.clone(),
            shutdown: self.shutdown.clone(),
        };
        let ears = Ears { scans, again: ears.again.clone(), commands };
        let name = platform.clone();
        let task = self.tasks.spawn(async move {
            Box::pin(member.run(ears)).await;
            name
        });
        let began = Instant::now();
        self.workers.insert(platform, Worker { scans: scan_sender, commands: command_sender, task, began });
    }

    fn chat_grpc(&self, platform: &RoomName) -> Vec<String> {
        let given = self.args.kubernetes.platform_grpc.iter().filter(|(name, _)| name == platform);
        let mut urls: Vec<String> = given.map(|(_, url)| url.clone()).collect();
        if urls.is_empty() {
            urls.push(format!("http://{}-gateway.{}.svc:9090", platform.name(), platform.namespace()));
        }
        urls
    }

    /// Which platform is meant must be clear.
    fn forward(&self, command: Command) {
        let mut workers = self.workers.iter();
        let worker = match &command.platform {
            Some(platform) => workers.find(|(name, _)| name == &platform),
            None if self.workers.len() == 1 => workers.next(),
            None => None,
        };
        if let Some((platform, worker)) = worker
            && worker.commands.try_send(command).is_err()
        {
            tracing::warn!(%platform, "too many commands wait: one was not obeyed");
        }
    }

    /// One that was aborted is not among the workers any more; one that broke starts again.
    fn ended(&mut self, ended: Result<RoomName, tokio::task::JoinError>) {
        match ended {
            Ok(platform) => drop(self.workers.remove(&platform)),
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(%error, "a platform's worker broke; it starts again in a while");
                let now = Instant::now();
                for (platform, worker) in self.workers.extract_if(.., |_, worker| worker.task.is_finished()) {
                    self.breaks.note(platform, now - worker.began, now);
                }
            }
        }
    }
}
