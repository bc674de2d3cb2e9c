//! Step 3, pure: exchanges and class policies, and whether this broker is ours at all.

use contract::names::{self, EVENTS_EXCHANGE, LIVE_EXCHANGE, PLATFORM_ARGUMENT, ROOMS_EXCHANGE, WORK_EXCHANGE};
use proto::chat::v1::{Log, Room};
use serde_json::json;

use super::Platform;
use crate::broker::diff::{self, PlatformDifference, PlatformTopology};
use crate::broker::topology::{Arguments, Exchange, Policy};
use crate::context::{Closed, World};
use crate::crd::chat_platform::Class;
use crate::report::Reason;

/// Above the policies for everything that people like to set, whose priority is 0.
const POLICY_PRIORITY: i64 = 10;

/// Refuses to work on a broker that is another platform's, or that has lost everything.
pub(super) fn check(world: &World, confirmed_loss: bool) -> Result<(), Closed> {
    match world.picture.exchanges.get(ROOMS_EXCHANGE) {
        Some(exchange) => {
            let found = exchange.arguments.get(PLATFORM_ARGUMENT).and_then(|id| id.as_str());
            if found == Some(&world.platform_id) {
                return Ok(());
            }
            let whose = found.map_or("no platform's".to_owned(), |id| format!("platform {id}'s"));
            let message = format!(
                "the exchange {ROOMS_EXCHANGE} is {whose}, PostgreSQL is platform {}'s: connect the right broker and database; nothing is changed",
                world.platform_id
            );
            Err(Closed::new(Reason::ForeignBroker, message))
        }
        None if has_open_logs(world) && !any_log_there(world) && !confirmed_loss => {
            Err(lost_everything(&format!("neither the exchange {ROOMS_EXCHANGE} nor any log is there")))
        }
        None => Ok(()),
    }
}

/// Nothing of what must be there is there: a wrong broker, or one that lost its data. A person has to say which.
pub(super) fn lost_everything(what: &str) -> Closed {
    let message = format!(
        "{what}, but rooms have logs: connect the right broker; if its data are lost, POST /confirm-lost-logs on this machine opens new logs"
    );
    Closed { asks: true, ..Closed::new(Reason::ForeignBroker, message) }
}

/// Logs of a room that are to be in the broker.
pub(crate) fn logs(row: &Room) -> impl Iterator<Item = &Log> {
    let newest = row.log.as_ref();
    let current = row.current.as_ref().filter(move |current| newest.is_none_or(|newest| newest.epoch != current.epoch));
    current.into_iter().chain(newest).filter(|log| log.state == "open" || log.state == "pending")
}

/// Whether a log is in use.
pub(crate) fn is_open(log: &Log) -> bool {
    log.state == "open"
}

/// Whether any room has a log in use.
pub(super) fn has_open_logs(world: &World) -> bool {
    world.rows.values().flat_map(logs).any(is_open)
}

fn any_log_there(world: &World) -> bool {
    world.rows.values().flat_map(logs).any(|log| world.picture.queues.contains_key(&log.stream))
}

/// What the platform lacks.
pub(super) fn difference(world: &World, platform: &Platform) -> Result<PlatformDifference, Closed> {
    let mut difference = diff::platform(&topology(&world.platform_id, platform), &world.picture);
    if platform.stands_in {
        difference.set.retain(|policy| !world.picture.policies.contains_key(&policy.name));
    }
    match difference.conflicts.first() {
        None => Ok(difference),
        Some(conflict) => Err(Closed::new(
            Reason::ArgumentsConflict,
            format!("{conflict}; delete it if nothing else uses it, it is made again"),
        )),
    }
}

/// What the platform wants.
pub(super) fn topology(platform_id: &str, platform: &Platform) -> PlatformTopology {
    let mut mine = Arguments::new();
    mine.insert(PLATFORM_ARGUMENT.to_owned(), json!(platform_id));
    let exchanges = vec![
        exchange(ROOMS_EXCHANGE, mine),
        exchange(EVENTS_EXCHANGE, Arguments::new()),
        exchange(LIVE_EXCHANGE, Arguments::new()),
        exchange(WORK_EXCHANGE, Arguments::new()),
    ];
    PlatformTopology { exchanges, policies: platform.classes.values().map(policy).collect() }
}

fn exchange(name: &str, arguments: Arguments) -> Exchange {
    Exchange {
        name: name.to_owned(),
        kind: "topic".to_owned(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments,
    }
}

fn policy(class: &Class) -> Policy {
    let mut definition = Arguments::new();
    definition.insert("max-age".to_owned(), json!(age(&class.max_age)));
    definition.insert("max-length-bytes".to_owned(), json!(class.max_bytes.count()));
    Policy {
        name: names::class_policy(&class.name),
        pattern: names::class_policy_pattern(&class.name),
        apply_to: "queues".to_owned(),
        priority: POLICY_PRIORITY,
        definition,
    }
}

/// RabbitMQ writes days as `D`, hours as `h`, and has no weeks.
fn age(text: &str) -> String {
    match text.strip_suffix('w').and_then(|weeks| weeks.parse::<u64>().ok()) {
        Some(weeks) => format!("{}D", weeks * 7),
        None => text.replace('d', "D"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology::{Queue, Topology};

    fn row(state: &str) -> Room {
        let log =
            Log { stream: "parlor.log.s".into(), epoch: "1-abcdef".into(), state: state.into(), ..Log::default() };
        Room { room: "a/b".into(), log: Some(log.clone()), current: Some(log), ..Room::default() }
    }

    fn world(rows: &[&str], picture: Topology) -> World {
        let mut world = World { platform_id: "mine".into(), picture, ..World::default() };
        for state in rows {
            world.take_row(row(state));
        }
        world
    }

    fn with_exchange(id: Option<&str>) -> Topology {
        let mut arguments = Arguments::new();
        if let Some(id) = id {
            arguments.insert(PLATFORM_ARGUMENT.into(), json!(id));
        }
        let mut picture = Topology::default();
        picture.exchanges.insert(ROOMS_EXCHANGE.into(), exchange(ROOMS_EXCHANGE, arguments));
        picture
    }

    #[test]
    fn a_broker_of_another_platform_or_of_none_is_foreign() {
        assert_eq!(check(&world(&["open"], with_exchange(Some("mine"))), false), Ok(()));
        for id in [Some("other"), None] {
            assert_eq!(check(&world(&["open"], with_exchange(id)), true).unwrap_err().reason, Reason::ForeignBroker);
        }
    }

    #[test]
    fn a_broker_that_lost_everything_waits_for_a_person() {
        assert_eq!(check(&world(&[], Topology::default()), false), Ok(()));
        assert_eq!(check(&world(&["pending"], Topology::default()), false), Ok(()));
        assert!(check(&world(&["open"], Topology::default()), false).is_err());
        assert_eq!(check(&world(&["open"], Topology::default()), true), Ok(()));
        // The exchange alone was deleted: it is made again.
        let mut picture = Topology::default();
        let stream =
            Queue { name: "parlor.log.s".into(), durable: true, auto_delete: false, arguments: Arguments::new() };
        picture.queues.insert(stream.name.clone(), stream);
        assert_eq!(check(&world(&["open"], picture), false), Ok(()));
    }

    #[test]
    fn ages_are_written_as_rabbitmq_reads_them() {
        assert_eq!([age("36h"), age("7d"), age("52w")], ["36h", "7D", "364D"]);
    }

    #[test]
    fn what_was_built_is_no_difference_any_more() {
        let mut world = world(&[], Topology::default());
        let first = difference(&world, &Platform::default()).unwrap();
        assert_eq!((first.declare.len(), first.set.len()), (4, 1));
        for exchange in first.declare {
            world.picture.exchanges.insert(exchange.name.clone(), exchange);
        }
        for policy in first.set {
            world.picture.policies.insert(policy.name.clone(), policy);
        }
        assert_eq!(difference(&world, &Platform::default()).unwrap(), PlatformDifference::default());
    }
}
