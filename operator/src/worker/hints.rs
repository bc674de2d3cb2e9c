//! Hints of the event exchange: what they speak of is taken out of the picture, so that the next pass looks at it.

use std::time::Duration;

use contract::names;
use contract::room::RoomName;
use tokio::time::Instant;

use super::state::State;
use crate::broker::events::Hint;
use crate::platform::Extent;
use crate::platform::status::parts;

/// A policy that we set so lately was set by us.
const OWN_POLICY: Duration = Duration::from_secs(5);

impl State {
    /// Takes a hint.
    pub(super) fn hear(&mut self, hint: Hint) {
        match hint {
            Hint::QueueDeleted(name) => {
                // Not in the picture: we deleted it ourselves.
                let known = self.context.world().picture.remove_queue(&name);
                if let Some(room) = room_of(&name).filter(|_| known) {
                    self.drifted("queue", room);
                }
            }
            Hint::BindingDeleted(binding) => {
                let known = self.context.world().picture.bindings.remove(&binding);
                if let Some(room) = room_of(&binding.queue).filter(|_| known) {
                    self.drifted("binding", room);
                }
            }
            Hint::PolicyChanged(name) => {
                let set = self.context.world().set_policies.get(&name).copied();
                if set.is_none_or(|at| at.elapsed() > OWN_POLICY) {
                    self.schedule.ask(Extent::All, Instant::now());
                }
            }
            Hint::Look => self.schedule.ask(Extent::All, Instant::now()),
        }
    }

    fn drifted(&mut self, kind: &'static str, room: RoomName) {
        metrics::counter!("parlor_operator_drift_total", "kind" => kind).increment(1);
        self.lanes.changed([room]);
    }
}

/// The room of a log or of a subscription.
fn room_of(queue: &str) -> Option<RoomName> {
    if let Some((room, _)) = parts(queue) {
        return Some(room);
    }
    let words: Vec<&str> = queue.strip_prefix(names::SUBSCRIPTION_PREFIX)?.split('.').collect();
    let [namespace, name, _] = words.as_slice() else { return None };
    RoomName::new(namespace, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_of_a_room_tell_the_room() {
        assert_eq!(room_of("parlor.log.standard.team-a.general.1-abcdef").unwrap().as_str(), "team-a/general");
        assert_eq!(room_of("parlor.sub.team-a.general.audit").unwrap().as_str(), "team-a/general");
        for other in ["parlor.sub.a.b", "parlor.log.standard.a.b", "parlor.gateway.x", "amq.gen-1"] {
            assert_eq!(room_of(other), None, "{other}");
        }
    }
}
