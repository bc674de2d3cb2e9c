//! What is said of rooms, files and the platform: `/status` shows it, the log tells each change once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::room::RoomName;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

/// Changes of one step that are each told in the log; of more, the number.
const LINES_MOST: usize = 20;

/// Why something is as it is: a closed list, described in `docs/reference/conditions.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// One can send.
    Ready,
    /// The file is right.
    Accepted,
    /// It is its turn soon.
    Pending,
    /// The log is declared; a log before it is being closed.
    LogOpening,
    /// Ready; somebody whom the manifest names has no account yet.
    MembersUnresolved,
    /// Ready; a subscription left the manifest, its queue is still there.
    SubscriptionDropped,
    /// `suspend: true`.
    Suspended,
    /// The manifest cannot be read or is wrong.
    InvalidManifest,
    /// Another manifest declared this room first.
    NameConflict,
    /// The platform has no such class.
    ClassNotFound,
    /// The manifest names another platform.
    PlatformNotFound,
    /// The namespace has as many rooms as the platform allows.
    QuotaExceeded,
    /// A field that cannot change has changed.
    ImmutableField,
    /// Something exists with other arguments.
    ArgumentsConflict,
    /// The broker is another platform's.
    ForeignBroker,
    /// RabbitMQ does not answer.
    BrokerUnreachable,
    /// RabbitMQ says no.
    BrokerRefused,
    /// chat-service or PostgreSQL do not answer.
    RoomsServiceUnreachable,
    /// chat-service says no.
    RoomsServiceRefused,
    /// The manifest is gone, and messages remain.
    NotEmpty,
    /// The manifest is gone, and the room is on its way out.
    Deleting,
    /// The manifest is gone: readable, closed to sending.
    Withdrawn,
    /// The manifest is gone together with too many others: waits for a person.
    WithdrawalsHeld,
    /// A field means something only in Kubernetes.
    NotApplicable,
    /// A field is for a part that this version does not have.
    NotBuilt,
}

impl Reason {
    /// As people and programs read it.
    pub(crate) fn word(self) -> String {
        format!("{self:?}")
    }

    /// Whether a server is away: it may be back any moment, and nobody has to change a manifest.
    pub(crate) fn is_away(self) -> bool {
        matches!(self, Self::BrokerUnreachable | Self::RoomsServiceUnreachable)
    }

    /// Whether somebody has to do something.
    pub(crate) fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::InvalidManifest
                | Self::NameConflict
                | Self::ClassNotFound
                | Self::PlatformNotFound
                | Self::QuotaExceeded
                | Self::ImmutableField
                | Self::ArgumentsConflict
                | Self::ForeignBroker
                | Self::BrokerRefused
                | Self::RoomsServiceRefused
                | Self::NotEmpty
        )
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.word())
    }
}

/// How a room is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RoomReport {
    /// One can send to it.
    pub(crate) ready: bool,
    /// Why.
    pub(crate) reason: Reason,
    /// For people; with the cure.
    pub(crate) message: String,
    /// Its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<String>,
    /// The log's stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    /// Version of the object that this speaks of; in a folder none.
    #[serde(skip)]
    pub(crate) generation: Option<i64>,
    /// Usernames of the manifest that nobody holds yet.
    #[serde(skip)]
    pub(crate) members_pending: Vec<String>,
}

impl RoomReport {
    /// Not ready, for this reason.
    pub(crate) fn not_ready(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            ready: false,
            reason,
            message: message.into(),
            epoch: None,
            stream: None,
            generation: None,
            members_pending: Vec::new(),
        }
    }

    /// The same, with the log that the room has.
    pub(crate) fn with_log(mut self, log: Option<&proto::chat::v1::Log>) -> Self {
        self.epoch = log.map(|log| log.epoch.clone());
        self.stream = log.map(|log| log.stream.clone());
        self
    }
}

/// How a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileReport {
    /// Everything in it is understood and counts.
    pub(crate) ready: bool,
    /// Why.
    pub(crate) reason: Reason,
    /// For people; each fault with its line.
    pub(crate) message: String,
}

/// Something about the platform that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Notice {
    /// A word.
    pub(crate) reason: &'static str,
    /// For people; with the cure.
    pub(crate) message: String,
}

/// Everything that `/status` shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reports {
    /// Rooms that a manifest declares or that are not done with.
    pub(crate) rooms: BTreeMap<RoomName, RoomReport>,
    /// Files of the folder.
    pub(crate) files: BTreeMap<Arc<str>, FileReport>,
    /// Rooms whose manifest is gone, readable.
    pub(crate) withdrawn: BTreeMap<RoomName, RoomReport>,
    /// About the platform.
    pub(crate) notices: BTreeSet<Notice>,
}

/// The reports of a running operator. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    reports: Arc<Mutex<Reports>>,
    changed: watch::Sender<()>,
}

impl Board {
    /// A copy of everything.
    pub(crate) fn read(&self) -> Reports {
        self.lock().clone()
    }

    /// Forgets everything: another operator speaks now.
    pub(crate) fn clear(&self) {
        *self.lock() = Reports::default();
    }

    /// Says when something is said anew of a room.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
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
        count(&all);
        drop(all);
        self.changed.send_replace(());
        tell(&changed);
    }

    /// Leaves only these rooms.
    pub(crate) fn keep_rooms(&self, keep: impl Fn(&RoomName) -> bool) {
        let mut all = self.lock();
        all.rooms.retain(|room, _| keep(room));
        count(&all);
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

fn count(reports: &Reports) {
    let number = |which: &dyn Fn(&RoomReport) -> bool| {
        #[expect(clippy::cast_precision_loss, reason = "no folder has 2^52 rooms")]
        let number = reports.rooms.values().filter(|report| which(report)).count() as f64;
        number
    };
    metrics::gauge!("parlor_operator_rooms", "state" => "total").set(number(&|_| true));
    metrics::gauge!("parlor_operator_rooms", "state" => "ready").set(number(&|report| report.ready));
    metrics::gauge!("parlor_operator_rooms", "state" => "stalled").set(number(&|report| report.reason.is_stalled()));
}
