//! Every name that Parlor uses in the broker. A queue name spelt in two ways loses messages silently, so it is spelt here alone.

use crate::position::Epoch;
use crate::room::RoomName;

/// Topic exchange of the room logs; only logs are bound to it and only chat-service publishes to it.
pub const ROOMS_EXCHANGE: &str = "parlor.rooms";
/// Topic exchange of stored events for other programs.
pub const EVENTS_EXCHANGE: &str = "parlor.events";
/// Topic exchange of what is not durable (typing, presence, hints between gateways).
pub const LIVE_EXCHANGE: &str = "parlor.live";
/// Topic exchange of work with a result.
pub const WORK_EXCHANGE: &str = "parlor.work";
/// Argument of [`ROOMS_EXCHANGE`] that names the platform it belongs to.
pub const PLATFORM_ARGUMENT: &str = "x-parlor-platform";
/// AMQP header of a log's message: the room's UUID.
pub const ROOM_HEADER: &str = "x-parlor-room";
/// AMQP header of a log's message: the epoch it is meant for.
pub const EPOCH_HEADER: &str = "x-parlor-epoch";
/// Prefix of every log's stream.
pub const LOG_PREFIX: &str = "parlor.log.";
/// Prefix of every subscription's queue.
pub const SUBSCRIPTION_PREFIX: &str = "parlor.sub.";

/// Stream of a room's log: `parlor.log.<class>.<namespace>.<name>.<epoch>`.
#[must_use]
pub fn log_stream(class: &str, room: &RoomName, epoch: &Epoch) -> String {
    format!("{LOG_PREFIX}{class}.{}.{}.{epoch}", room.namespace(), room.name())
}

/// Routing key of a room's log in [`ROOMS_EXCHANGE`]: `room.<namespace>.<name>.<epoch>`.
#[must_use]
pub fn log_key(room: &RoomName, epoch: &Epoch) -> String {
    format!("room.{}.{}.{epoch}", room.namespace(), room.name())
}

/// Name of the policy that gives a class's logs their age and size: `parlor.log.<class>`.
#[must_use]
pub fn class_policy(class: &str) -> String {
    format!("{LOG_PREFIX}{class}")
}

/// Pattern of that policy: every stream of the class and of no other.
#[must_use]
pub fn class_policy_pattern(class: &str) -> String {
    format!(r"^parlor\.log\.{class}\.")
}

/// Routing key of a stored event in [`EVENTS_EXCHANGE`]: `event.<namespace>.<name>.<type>`.
#[must_use]
pub fn event_key(room: &RoomName, event_type: &str) -> String {
    format!("event.{}.{}.{event_type}", room.namespace(), room.name())
}

/// Queue of a manifest's subscription: `parlor.sub.<namespace>.<name>.<subscription>`.
#[must_use]
pub fn subscription_queue(room: &RoomName, subscription: &str) -> String {
    format!("{SUBSCRIPTION_PREFIX}{}.{}.{subscription}", room.namespace(), room.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_protocol_fixes_them() {
        let room: RoomName = "team-a/general".parse().unwrap();
        let epoch: Epoch = "1-k3f9qa".parse().unwrap();
        assert_eq!(log_stream("standard", &room, &epoch), "parlor.log.standard.team-a.general.1-k3f9qa");
        assert_eq!(log_key(&room, &epoch), "room.team-a.general.1-k3f9qa");
        assert_eq!(event_key(&room, "message"), "event.team-a.general.message");
        assert_eq!(subscription_queue(&room, "audit"), "parlor.sub.team-a.general.audit");
        assert_eq!(class_policy_pattern("standard"), r"^parlor\.log\.standard\.");
    }
}
