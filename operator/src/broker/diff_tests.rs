//! The difference reaches a fixed point on a model of the broker that knows only what RabbitMQ promises.

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// RabbitMQ's rules: a binding needs its two ends, an existing queue keeps its arguments, a policy is replaced.
fn apply(broker: &mut Topology, difference: &RoomDifference) {
    for queue in &difference.declare {
        assert!(!broker.queues.contains_key(&queue.name), "declared although it is there");
        broker.queues.insert(queue.name.clone(), queue.clone());
    }
    for binding in &difference.bind {
        assert!(broker.queues.contains_key(&binding.queue), "bound although the queue is not there");
        assert!(broker.bindings.insert(binding.clone()), "bound although it is bound");
    }
    for binding in &difference.unbind {
        assert!(broker.bindings.remove(binding), "unbound although it is not bound");
    }
}

fn queue(name: &str, length: u64) -> Queue {
    let arguments = json!({"x-queue-type": "quorum", "x-max-length": length});
    Queue { name: name.into(), durable: true, auto_delete: false, arguments: arguments.as_object().unwrap().clone() }
}

fn binding(queue: &str, key: &str) -> Binding {
    Binding { source: "e".into(), queue: queue.into(), key: key.into() }
}

prop_compose! {
    /// A few queues over small alphabets, so that wanted and found meet in every way.
    fn wanted()(queues in proptest::collection::btree_map(0_u8..4, (1_u64..3, any::<bool>(), proptest::collection::btree_set(0_u8..4, 0..3)), 0..4)) -> RoomTopology {
        let mut wanted = RoomTopology::default();
        for (index, (length, may_declare, keys)) in queues {
            let name = format!("q{index}");
            wanted.queues.push(WantedQueue { queue: queue(&name, length), may_declare });
            wanted.bindings.extend(keys.iter().map(|key| binding(&name, &format!("k.{key}"))));
            wanted.sole.push(Sole { source: "e".into(), queue: name, prefix: "k.".into() });
        }
        wanted
    }
}

prop_compose! {
    fn found()(queues in proptest::collection::btree_map(0_u8..4, (1_u64..3, proptest::collection::btree_set((0_u8..4, any::<bool>()), 0..4)), 0..4)) -> Topology {
        let mut found = Topology::default();
        for (index, (length, keys)) in queues {
            let name = format!("q{index}");
            found.queues.insert(name.clone(), queue(&name, length));
            // Half of the bindings are somebody else's.
            found.bindings.extend(keys.iter().map(|(key, ours)| binding(&name, &format!("{}.{key}", if *ours { "k" } else { "other" }))));
        }
        found
    }
}

proptest! {
    #[test]
    fn a_second_pass_is_empty_and_nothing_is_ever_deleted_or_made_twice(wanted in wanted(), found in found()) {
        let mut broker = found.clone();
        let first = room(&wanted, &broker);
        apply(&mut broker, &first);
        let second = room(&wanted, &broker);
        prop_assert!(second.declare.is_empty() && second.bind.is_empty() && second.unbind.is_empty(), "{second:?}");
        prop_assert_eq!(&second.conflicts, &first.conflicts);
        prop_assert_eq!(&second.lost, &first.lost);
        for (name, queue) in &found.queues {
            prop_assert_eq!(broker.queues.get(name), Some(queue));
        }
        for strange in found.bindings.iter().filter(|binding| binding.key.starts_with("other")) {
            prop_assert!(broker.bindings.contains(strange));
        }
    }

    #[test]
    fn what_is_as_wanted_needs_no_request(wanted in wanted()) {
        let mut wanted = wanted;
        wanted.queues.iter_mut().for_each(|queue| queue.may_declare = true);
        let mut broker = Topology::default();
        let first = room(&wanted, &broker);
        apply(&mut broker, &first);
        prop_assert_eq!(room(&wanted, &broker), RoomDifference::default());
    }
}

#[test]
fn a_queue_in_use_that_is_gone_is_lost_and_not_declared_again() {
    let mut wanted = RoomTopology::default();
    wanted.queues.push(WantedQueue { queue: queue("log", 1), may_declare: false });
    wanted.bindings.insert(binding("log", "k"));
    let difference = room(&wanted, &Topology::default());
    assert_eq!(difference, RoomDifference { lost: vec!["log".into()], ..RoomDifference::default() });
}

#[test]
fn other_arguments_are_told_with_both_values() {
    let mut broker = Topology::default();
    broker.queues.insert("q".into(), queue("q", 5));
    let wanted = RoomTopology {
        queues: vec![WantedQueue { queue: queue("q", 7), may_declare: true }],
        ..RoomTopology::default()
    };
    let difference = room(&wanted, &broker);
    assert!(difference.declare.is_empty());
    assert_eq!(difference.conflicts[0].to_string(), "queue q exists with other arguments: x-max-length is 5, wanted 7");
}

#[test]
fn an_exchange_of_another_platform_is_a_conflict_and_a_policy_is_replaced() {
    let exchange = |id: &str| Exchange {
        name: "parlor.rooms".into(),
        kind: "topic".into(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: json!({"x-parlor-platform": id}).as_object().unwrap().clone(),
    };
    let policy = |age: &str| Policy {
        name: "p".into(),
        pattern: "^p".into(),
        apply_to: "queues".into(),
        priority: 1,
        definition: json!({"max-age": age}).as_object().unwrap().clone(),
    };
    let mut broker = Topology::default();
    broker.exchanges.insert("parlor.rooms".into(), exchange("other"));
    broker.policies.insert("p".into(), policy("1h"));
    let wanted = PlatformTopology { exchanges: vec![exchange("mine")], policies: vec![policy("2h")] };
    let difference = platform(&wanted, &broker);
    assert_eq!(difference.conflicts.len(), 1);
    assert_eq!(difference.set, [policy("2h")]);
    broker.exchanges.insert("parlor.rooms".into(), exchange("mine"));
    broker.policies.insert("p".into(), policy("2h"));
    assert_eq!(platform(&wanted, &broker), PlatformDifference::default());
}
