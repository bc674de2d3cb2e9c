//! What a look at the servers means for the rooms.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::state::State;
use crate::context::Closed;
use crate::platform::Extent;
use crate::report::{Notice, Reason, RoomReport};

impl State {
    /// How a look ended.
    pub(super) fn refreshed(&mut self, extent: Extent, outcome: Result<BTreeSet<Notice>, Closed>) {
        self.known = true;
        metrics::gauge!("parlor_operator_reachable").set(if outcome.is_ok() { 1.0 } else { 0.0 });
        self.board.set_servers(outcome.as_ref().map(drop).map_err(Clone::clone));
        match outcome {
            Ok(notices) => self.reachable(extent, notices),
            Err(closed) => self.unreachable(closed),
        }
    }

    fn reachable(&mut self, extent: Extent, notices: BTreeSet<Notice>) {
        let now = Instant::now();
        self.schedule.read(extent, now);
        if self.closed.take().is_some() {
            tracing::info!("RabbitMQ and chat-service answer again");
        }
        self.notices = notices;
        self.board.set_notices(&self.notices);
        let parked = std::mem::take(&mut self.parked);
        self.lanes.changed(parked);
        self.decide();
        if extent == Extent::All {
            self.confirmed_loss = false;
            let unclaimed: Vec<_> = self.unclaimed().into_keys().collect();
            self.lanes.resync(self.claims.chosen.keys().cloned());
            self.lanes.resync(unclaimed);
            self.leaving.values_mut().for_each(|at| *at = (*at).min(now));
        }
    }

    fn unreachable(&mut self, closed: Closed) {
        self.schedule.failed(Instant::now());
        if self.closed.as_ref().map(|before| before.reason) != Some(closed.reason) {
            let mut notices = self.notices.clone();
            notices.insert(Notice { reason: condition(closed.reason), message: closed.message.clone() });
            self.board.set_notices(&notices);
            // Those that wait say for what.
            let waiting = self.parked.iter().filter_map(|room| {
                let report = self.board.room(room)?;
                Some((room.clone(), RoomReport { reason: closed.reason, message: closed.message.clone(), ..report }))
            });
            self.board.set_rooms(waiting.collect::<Vec<_>>());
            if !closed.may_pass() {
                // Nothing that is ready may be called so any longer.
                self.lanes.resync(self.claims.chosen.keys().cloned());
            }
        }
        self.closed = Some(closed);
    }
}

/// What the platform's notice is called.
fn condition(reason: Reason) -> &'static str {
    match reason {
        Reason::BrokerUnreachable => "BrokerUnreachable",
        Reason::BrokerRefused => "BrokerRefused",
        Reason::RoomsServiceUnreachable => "RoomsServiceUnreachable",
        Reason::RoomsServiceRefused => "RoomsServiceRefused",
        Reason::ForeignBroker => "ForeignBroker",
        _ => "ArgumentsConflict",
    }
}
