//! What the worker knows between two events, and when it wakes by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::room::RoomName;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::jobs::Job;
use super::lanes::Lanes;
use super::schedule::Schedule;
use crate::context::{Closed, Context};
use crate::crd::Schemas;
use crate::platform::Platform;
use crate::report::{Board, Notice};
use crate::source::Scan;
use crate::source::claims::Claims;
use crate::source::files::PlatformChoice;
use crate::source::withdrawal::{Standing, Withdrawals};

/// Without anything to do.
const IDLE: Duration = Duration::from_mins(1);

/// What the command line says.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Of manifests.
    pub(crate) schemas: Arc<Schemas>,
    /// What owners of this folder or cluster begin with.
    pub(crate) prefix: String,
    /// The manifests are objects of a cluster, not files.
    pub(crate) cluster: bool,
    /// Between two looks at everything.
    pub(crate) resync: Duration,
}

/// Everything between two events.
pub(crate) struct State {
    pub(super) context: Context,
    pub(super) board: Board,
    pub(super) settings: Settings,
    /// The last look at the folder; `None`: not yet.
    pub(super) scan: Option<Arc<Scan>>,
    pub(super) platform: Arc<Platform>,
    pub(super) platform_choice: PlatformChoice,
    pub(super) claims: Claims,
    pub(super) withdrawals: Withdrawals,
    /// Rooms of this folder that no manifest declares.
    pub(super) standings: BTreeMap<RoomName, Standing>,
    /// Rooms on their way out, and when they are looked at again.
    pub(super) leaving: BTreeMap<RoomName, Instant>,
    /// Rooms whose object was seen being deleted, with its owner's name; until their rows are gone.
    pub(super) doomed: BTreeMap<RoomName, Arc<str>>,
    pub(super) lanes: Lanes,
    /// Rooms of running jobs.
    pub(super) busy: BTreeSet<RoomName>,
    /// Rooms that wait for the servers.
    pub(super) parked: BTreeSet<RoomName>,
    /// Rooms that are looked at again at a time.
    pub(super) later: BTreeSet<(Instant, RoomName)>,
    pub(super) jobs: FuturesUnordered<Job>,
    pub(super) schedule: Schedule,
    /// A look at the servers has ended, however.
    pub(super) known: bool,
    /// Why nothing can be worked on.
    pub(super) closed: Option<Closed>,
    /// Notices of the last good look.
    pub(super) notices: BTreeSet<Notice>,
    /// A person said that the logs that are not there are lost.
    pub(super) confirmed_loss: bool,
    /// The look at the folder that was asked for.
    asked_to_look: Option<Instant>,
}

impl State {
    /// Knows nothing yet; looks at the servers at once. Where RabbitMQ's events are listened to, the first look waits for that a
    /// moment, so that it need not be taken twice.
    pub(super) fn new(context: Context, board: Board, settings: Settings, listens: bool) -> Self {
        let patience = if listens { Duration::from_secs(1) } else { Duration::ZERO };
        let schedule = Schedule::new(settings.resync, Instant::now() + patience);
        Self {
            context,
            board,
            settings,
            scan: None,
            platform: Arc::default(),
            platform_choice: PlatformChoice::default(),
            claims: Claims::default(),
            withdrawals: Withdrawals::default(),
            standings: BTreeMap::new(),
            leaving: BTreeMap::new(),
            doomed: BTreeMap::new(),
            lanes: Lanes::default(),
            busy: BTreeSet::new(),
            parked: BTreeSet::new(),
            later: BTreeSet::new(),
            jobs: FuturesUnordered::new(),
            schedule,
            known: false,
            closed: None,
            notices: BTreeSet::new(),
            confirmed_loss: false,
            asked_to_look: None,
        }
    }

    /// Whether a person's word about lost logs is waited for.
    pub(super) fn lost_waits(&self) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.asks)
    }

    /// When something is due.
    pub(super) fn wake(&self) -> Instant {
        let refresh = self.schedule.next();
        let later = self.later.first().map(|(at, _)| *at);
        let leaving = self.leaving.iter().filter(|(room, _)| !self.busy.contains(room)).map(|(_, at)| *at).min();
        let look = self.withdrawals.next_look().filter(|at| self.asked_to_look != Some(*at));
        // A look or a room that is due but has to wait for running jobs is seen when these end.
        let waits = |at: &Instant| *at > Instant::now() || self.jobs.is_empty();
        let idle = Instant::now() + IDLE;
        [refresh, later, leaving, look].into_iter().flatten().filter(waits).fold(idle, Instant::min)
    }

    /// Something may be due.
    pub(super) fn tick(&mut self, again: &Notify) {
        let now = Instant::now();
        while let Some((_, room)) = self.later.first().filter(|(at, _)| *at <= now).cloned() {
            self.later.pop_first();
            self.lanes.changed([room]);
        }
        if let Some(at) = self.withdrawals.next_look().filter(|at| *at <= now && self.asked_to_look != Some(*at)) {
            self.asked_to_look = Some(at);
            again.notify_one();
        }
    }
}
