//! What every pass works with: the servers, and what is known of them. Cheap to clone; made once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::room::RoomName;
use proto::chat::v1::Room;
use tokio::time::Instant;

use crate::broker::topology::Topology;
use crate::broker::{Broker, BrokerError};
use crate::platform::Extent;
use crate::report::Reason;
use crate::rooms_service::{RoomsService, ServiceError};

/// The servers and the world.
#[derive(Clone)]
pub(crate) struct Context {
    /// RabbitMQ.
    pub(crate) broker: Broker,
    /// chat-service.
    pub(crate) service: RoomsService,
    world: Arc<Mutex<World>>,
}

/// What is known of the servers: as last read, and changed by every answer since.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The platform's id, as PostgreSQL says it.
    pub(crate) platform_id: String,
    /// Every room's row.
    pub(crate) rows: BTreeMap<RoomName, Room>,
    /// The virtual host.
    pub(crate) picture: Topology,
    /// Nodes of the cluster, where one may know.
    pub(crate) nodes: Option<u32>,
    /// Policies that we set lately: the broker's event about it is no news.
    pub(crate) set_policies: BTreeMap<String, Instant>,
    /// Queues of deleted rooms that still have to go.
    pub(crate) removals: BTreeSet<String>,
    /// So much of it is known to be old.
    pub(crate) stale: Option<Extent>,
}

/// Why nothing can be done for any room now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Why.
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) message: String,
    /// Nothing is there that must be: a person has to say whether it is lost.
    pub(crate) asks: bool,
}

impl Closed {
    /// Closed for this reason.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), asks: false }
    }

    /// Whether waiting may cure it: what is settled then stays as it is.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self.reason,
            Reason::Pending
                | Reason::BrokerUnreachable
                | Reason::RoomsServiceUnreachable
                | Reason::BrokerRefused
                | Reason::RoomsServiceRefused
        )
    }
}

impl From<&BrokerError> for Closed {
    fn from(error: &BrokerError) -> Self {
        let reason = match error {
            BrokerError::Unreachable(_) | BrokerError::NotFound => Reason::BrokerUnreachable,
            BrokerError::Conflict(_) | BrokerError::Refused { .. } => Reason::BrokerRefused,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<&ServiceError> for Closed {
    fn from(error: &ServiceError) -> Self {
        let reason = match error {
            ServiceError::Unreachable(_) => Reason::RoomsServiceUnreachable,
            ServiceError::Refused { .. } => Reason::RoomsServiceRefused,
        };
        Self::new(reason, error.to_string())
    }
}

impl Context {
    /// Knows nothing yet.
    pub(crate) fn new(broker: Broker, service: RoomsService) -> Self {
        Self { broker, service, world: Arc::default() }
    }

    /// The world, for a moment: never across an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // Nothing panics while it is held.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Takes what chat-service says of a room.
    pub(crate) fn take_row(&mut self, row: Room) {
        match row.room.parse::<RoomName>() {
            Ok(name) => {
                self.rows.insert(name, row);
            }
            Err(error) => tracing::warn!(%error, "chat-service names a room that is none"),
        }
    }

    /// So much of it is old.
    pub(crate) fn is_stale(&mut self, extent: Extent) {
        if self.stale != Some(Extent::All) {
            self.stale = Some(extent);
        }
    }

    /// Takes all rows; those that are not among them are gone.
    pub(crate) fn take_rows(&mut self, rows: Vec<Room>) {
        self.rows.clear();
        for row in rows {
            self.take_row(row);
        }
    }
}
