//! Step 5, pure: what somebody should know of the platform. Things that nobody needs are reported here, never removed.

use std::collections::{BTreeMap, BTreeSet};

use contract::names::{self, LOG_PREFIX, ROOMS_EXCHANGE};
use contract::position::Epoch;
use contract::room::RoomName;

use super::Platform;
use super::build::logs;
use crate::broker::declare::is_log;
use crate::context::World;
use crate::report::Notice;

/// Names told one by one.
const NAMES_MOST: usize = 5;

/// All notices.
pub(super) fn notices(world: &World, platform: &Platform) -> BTreeSet<Notice> {
    let orphans = orphans(world);
    #[expect(clippy::cast_precision_loss, reason = "no broker has 2^52 queues")]
    metrics::gauge!("parlor_operator_orphan_logs").set(orphans.len() as f64);
    let mut notices = BTreeSet::new();
    let mut add = |reason: &'static str, names: Vec<String>, cure: &str| {
        if !names.is_empty() {
            notices.insert(Notice { reason, message: format!("{}: {cure}", list(&names)) });
        }
    };
    add("OrphanLogs", orphans, "no room has these streams; delete them by hand once you are sure");
    add(
        "ForeignBindings",
        foreign_bindings(world),
        &format!(
            "bound to {ROOMS_EXCHANGE}, where only logs may be: a message to a log that is gone would look stored; take the binding away"
        ),
    );
    add(
        "PolicyShadowed",
        shadowed(world),
        "another policy holds for these logs instead of their class's; lower its priority below 10 or narrow its pattern",
    );
    add(
        "LogsUnderReplicated",
        under_replicated(world, platform),
        "fewer replicas than their class wants: rabbitmq-streams add_replica STREAM NODE for each",
    );
    notices
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Streams that no row names. Those of a room's earlier epochs are its own.
fn orphans(world: &World) -> Vec<String> {
    let named: BTreeSet<&str> = world.rows.values().flat_map(logs).map(|log| log.stream.as_str()).collect();
    let newest: BTreeMap<&RoomName, u32> = world
        .rows
        .iter()
        .filter_map(|(room, row)| Some((room, row.log.as_ref()?.epoch.parse::<Epoch>().ok()?.ordinal())))
        .collect();
    let earlier = |stream: &str| {
        let Some((room, epoch)) = parts(stream) else { return false };
        newest.get(&room).is_some_and(|newest| epoch.ordinal() < *newest)
    };
    let streams = world.picture.queues.keys().filter(|name| is_log(name));
    streams
        .filter(|name| !named.contains(name.as_str()) && !earlier(name) && !world.removals.contains(*name))
        .cloned()
        .collect()
}

/// Room and epoch of a log's stream.
pub(crate) fn parts(stream: &str) -> Option<(RoomName, Epoch)> {
    let words: Vec<&str> = stream.strip_prefix(LOG_PREFIX)?.split('.').collect();
    let [_, namespace, name, epoch] = words.as_slice() else { return None };
    Some((RoomName::new(namespace, name).ok()?, epoch.parse().ok()?))
}

fn foreign_bindings(world: &World) -> Vec<String> {
    let bindings = world.picture.bindings.iter().filter(|binding| binding.source == ROOMS_EXCHANGE);
    let queues = bindings.filter(|binding| !is_log(&binding.queue)).map(|binding| format!("queue {}", binding.queue));
    queues.chain(world.picture.strange.iter().cloned()).collect()
}

fn shadowed(world: &World) -> Vec<String> {
    let logs = world.rows.values().flat_map(logs);
    logs.filter(|log| {
        let applied = world.picture.applied.get(&log.stream);
        applied.is_some_and(|policy| *policy != names::class_policy(&log.class_name))
    })
    .map(|log| log.stream.clone())
    .collect()
}

fn under_replicated(world: &World, platform: &Platform) -> Vec<String> {
    let Some(nodes) = world.nodes else { return Vec::new() };
    let logs = world.rows.values().flat_map(logs);
    logs.filter(|log| {
        platform.classes.get(&log.class_name).is_some_and(|class| log.replicas < class.replicas.min(nodes))
    })
    .map(|log| log.stream.clone())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topology::{Arguments, Binding, Queue};
    use proto::chat::v1::{Log, Room};

    fn world(newest: &str, streams: &[&str]) -> World {
        let log = |epoch: &str| Log {
            stream: format!("parlor.log.standard.a.b.{epoch}"),
            epoch: epoch.into(),
            class_name: "standard".into(),
            replicas: 1,
            state: "open".into(),
            ..Log::default()
        };
        let mut world = World::default();
        world.take_row(Room {
            room: "a/b".into(),
            log: Some(log(newest)),
            current: Some(log(newest)),
            ..Room::default()
        });
        for stream in streams {
            let queue =
                Queue { name: (*stream).into(), durable: true, auto_delete: false, arguments: Arguments::new() };
            world.picture.queues.insert(queue.name.clone(), queue);
        }
        world
    }

    fn reasons(world: &World) -> Vec<(&'static str, String)> {
        notices(world, &Platform::default()).into_iter().map(|notice| (notice.reason, notice.message)).collect()
    }

    #[test]
    fn a_stream_that_no_row_names_is_an_orphan_and_an_earlier_epoch_is_not() {
        let world = world("2-bbbbbb", &["parlor.log.standard.a.b.1-aaaaaa", "parlor.log.standard.a.b.2-bbbbbb"]);
        assert_eq!(reasons(&world), []);
        for orphan in ["parlor.log.standard.a.b.2-cccccc", "parlor.log.standard.a.c.1-aaaaaa", "parlor.log.odd"] {
            let mut world = self::world("2-bbbbbb", &[orphan]);
            assert_eq!(reasons(&world)[0].0, "OrphanLogs", "{orphan}");
            // On its way out.
            world.removals.insert(orphan.to_owned());
            assert_eq!(reasons(&world), []);
        }
    }

    #[test]
    fn what_else_is_bound_to_the_logs_exchange_is_told() {
        let mut world = world("1-aaaaaa", &[]);
        world.picture.bindings.insert(Binding { source: ROOMS_EXCHANGE.into(), queue: "spy".into(), key: "#".into() });
        assert!(reasons(&world)[0].1.starts_with("queue spy: bound to parlor.rooms"));
    }

    #[test]
    fn another_policy_and_missing_replicas_are_told() {
        let mut world = world("1-aaaaaa", &["parlor.log.standard.a.b.1-aaaaaa"]);
        world.picture.applied.insert("parlor.log.standard.a.b.1-aaaaaa".into(), "all".into());
        assert_eq!(reasons(&world)[0].0, "PolicyShadowed");
        world.picture.applied.clear();
        world.nodes = Some(3);
        let mut platform = Platform::default();
        platform.classes.values_mut().for_each(|class| class.replicas = 3);
        assert_eq!(notices(&world, &platform).first().unwrap().reason, "LogsUnderReplicated");
    }
}
