//! Where reports stand: one board for each platform.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::room::RoomName;
use tokio::sync::watch;

use super::{Deployed, FileReport, Notice, Reason, Reports, RoomReport};
use crate::context::Closed;

/// Changes of one step that are each told in the log; of more, the number.
const LINES_MOST: usize = 20;

/// The boards of all platforms, each by its platform's name. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Boards {
    boards: Arc<Mutex<BTreeMap<Arc<str>, Board>>>,
    changed: watch::Sender<()>,
}

impl Boards {
    /// The board of this name, made where there is none.
    pub(crate) fn board(&self, name: &str) -> Board {
        let new = || Board { name: name.into(), reports: Arc::default(), changed: self.changed.clone() };
        self.lock().entry(name.into()).or_insert_with(new).clone()
    }

    /// The board of this name, where there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Board> {
        self.lock().get(name).cloned()
    }

    /// What stands on all of them together.
    pub(crate) fn read(&self) -> Reports {
        let mut all = Reports::default();
        for board in self.lock().values() {
            let Reports { rooms, files, withdrawn, notices, servers: _, deployed: _ } = board.read();
            all.rooms.extend(rooms);
            all.files.extend(files);
            all.withdrawn.extend(withdrawn);
            all.notices.extend(notices);
        }
        all
    }

    /// Takes down the boards that are not to be kept.
    pub(crate) fn keep(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|name, board| {
            let keeps = keep(name);
            if !keeps {
                board.keep_rooms(|_| false);
            }
            keeps
        });
        self.changed.send_replace(());
    }

    /// Says when something is said anew.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Board>> {
        // Nothing panics while it is held.
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reports about one platform's rooms. Clones show the same.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    name: Arc<str>,
    reports: Arc<Mutex<Reports>>,
    changed: watch::Sender<()>,
}

impl Board {
    /// A copy of everything.
    pub(crate) fn read(&self) -> Reports {
        self.lock().clone()
    }

    /// What was said of a room last.
    pub(crate) fn room(&self, room: &RoomName) -> Option<RoomReport> {
        self.lock().rooms.get(room).cloned()
    }

    /// Says something of rooms; what changed goes to the log.
    pub(crate) fn set_rooms(&self, reports: impl IntoIterator<Item = (RoomName, RoomReport)>) {
        let mut changed = Vec::new();
        let mut all = self.lock();
        for (room, report) in reports {
            if all.rooms.get(&room) != Some(&report) {
                all.rooms.insert(room.clone(), report.clone());
                changed.push((room, report));
            }
        }
        self.count(&all);
        drop(all);
        self.changed.send_replace(());
        tell(&changed);
    }

    /// Leaves only these rooms.
    pub(crate) fn keep_rooms(&self, keep: impl Fn(&RoomName) -> bool) {
        let mut all = self.lock();
        all.rooms.retain(|room, _| keep(room));
        self.count(&all);
    }

    /// Says how all files are.
    pub(crate) fn set_files(&self, files: BTreeMap<Arc<str>, FileReport>) {
        let mut all = self.lock();
        let old = std::mem::replace(&mut all.files, files.clone());
        drop(all);
        for (name, report) in files {
            if old.get(&name) != Some(&report) && report.reason != Reason::Accepted {
                tracing::warn!(file = &*name, reason = report.reason.word(), "{}", report.message);
            } else if old.get(&name).is_some_and(|old| old.reason != Reason::Accepted && *old != report) {
                tracing::info!(file = &*name, "the file is right now");
            }
        }
    }

    /// Says which rooms are withdrawn.
    pub(crate) fn set_withdrawn(&self, withdrawn: BTreeMap<RoomName, RoomReport>) {
        let mut all = self.lock();
        let old = std::mem::replace(&mut all.withdrawn, withdrawn.clone());
        drop(all);
        let changed: Vec<_> = withdrawn.into_iter().filter(|(room, report)| old.get(room) != Some(report)).collect();
        tell(&changed);
    }

    /// Says what somebody should know.
    pub(crate) fn set_notices(&self, notices: &BTreeSet<Notice>) {
        let old = std::mem::replace(&mut self.lock().notices, notices.clone());
        for notice in notices.difference(&old) {
            tracing::warn!(reason = notice.reason, "{}", notice.message);
        }
        for notice in old.difference(notices) {
            tracing::info!(reason = notice.reason, "no longer: {}", notice.message);
        }
    }

    /// How the last look at the servers ended.
    pub(crate) fn servers(&self) -> Option<Result<(), Closed>> {
        self.lock().servers.clone()
    }

    /// Says when something is said anew, on this board or another.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Says how a look at the servers ended.
    pub(crate) fn set_servers(&self, outcome: Result<(), Closed>) {
        self.lock().servers = Some(outcome);
        self.changed.send_replace(());
    }

    /// Says how a pass over the platform's programs ended.
    pub(crate) fn set_deployed(&self, outcome: Option<Result<Deployed, Closed>>) {
        self.lock().deployed = outcome;
        self.changed.send_replace(());
    }

    /// One series for each platform.
    fn count(&self, reports: &Reports) {
        let number = |which: &dyn Fn(&RoomReport) -> bool| {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 rooms")]
            let number = reports.rooms.values().filter(|report| which(report)).count() as f64;
            number
        };
        let gauge = |state: &'static str, number: f64| {
            metrics::gauge!("parlor_operator_rooms", "platform" => self.name.to_string(), "state" => state).set(number);
        };
        gauge("total", number(&|_| true));
        gauge("ready", number(&|report| report.ready));
        gauge("stalled", number(&|report| report.reason.is_stalled()));
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        // Nothing panics while it is held.
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(changed: &[(RoomName, RoomReport)]) {
    if changed.len() <= LINES_MOST {
        for (room, report) in changed {
            let (ready, reason) = (report.ready, report.reason.word());
            tracing::info!(%room, ready, reason, "{}", report.message);
        }
        return;
    }
    let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
    for (_, report) in changed {
        *counts.entry(report.reason).or_default() += 1;
    }
    for (reason, rooms) in counts {
        tracing::info!(rooms, reason = reason.word(), "rooms changed");
    }
}
