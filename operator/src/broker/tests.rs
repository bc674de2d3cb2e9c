//! Against a real RabbitMQ, in a virtual host of the test's own: what the difference asks for is taken, seen again, and then nothing
//! is asked for.

use super::diff::{self, PlatformTopology, RoomDifference, RoomTopology, Sole, WantedQueue};
use super::topology::{Binding, Exchange, Policy, Queue};
use super::*;
use e2e::servers::{Servers, TestVhost};
use serde_json::json;

async fn vhost() -> (TestVhost, Broker) {
    service::telemetry::install_tls();
    let vhost = Servers::from_env().unwrap().vhost().await.unwrap();
    let broker = Broker::new(&vhost.management_url, &vhost.name, None).unwrap();
    (vhost, broker)
}

fn exchange(id: &str) -> Exchange {
    Exchange {
        name: "parlor.rooms".into(),
        kind: "topic".into(),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: json!({"x-parlor-platform": id}).as_object().unwrap().clone(),
    }
}

fn policy(age: &str) -> Policy {
    Policy {
        name: "parlor.log.standard".into(),
        pattern: r"^parlor\.log\.standard\.".into(),
        apply_to: "queues".into(),
        priority: 10,
        definition: json!({"max-age": age, "max-length-bytes": 1_073_741_824}).as_object().unwrap().clone(),
    }
}

fn queue(name: &str, arguments: &Value) -> Queue {
    let arguments = arguments.as_object().unwrap().clone();
    Queue { name: name.into(), durable: true, auto_delete: false, arguments }
}

fn stream(segment: u64) -> Queue {
    let arguments = json!({"x-queue-type": "stream", "x-queue-leader-locator": "balanced", "x-initial-cluster-size": 1,
        "x-stream-max-segment-size-bytes": segment});
    queue("parlor.log.standard.a.b.1-abcdef", &arguments)
}

fn binding(queue: &str, key: &str) -> Binding {
    Binding { source: "parlor.rooms".into(), queue: queue.into(), key: key.into() }
}

/// A room with a log and a subscription, whose names need no escaping, and an odd one that does.
fn room() -> RoomTopology {
    let log = stream(1 << 20);
    let subscription =
        json!({"x-queue-type": "quorum", "x-overflow": "drop-head", "x-max-length": 5, "x-delivery-limit": 3});
    let subscription = queue("parlor.sub.a.b.s", &subscription);
    RoomTopology {
        bindings: [
            binding(&log.name, "room.a.b.1-abcdef"),
            binding(&subscription.name, "event.a.b.message"),
            binding(&subscription.name, "event.a b/%.x"),
        ]
        .into(),
        sole: vec![Sole { source: "parlor.rooms".into(), queue: subscription.name.clone(), prefix: "event.".into() }],
        queues: [log, subscription].map(|queue| WantedQueue { queue, may_declare: true }).into(),
    }
}

async fn apply(broker: &Broker, difference: &RoomDifference) {
    for queue in &difference.declare {
        broker.declare_queue(queue).await.unwrap();
    }
    for binding in &difference.bind {
        broker.bind(binding).await.unwrap();
    }
    for binding in &difference.unbind {
        broker.unbind(binding).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_declared_is_seen_again_exactly_so() {
    let (_vhost, broker) = vhost().await;
    let wanted = PlatformTopology { exchanges: vec![exchange("mine")], policies: vec![policy("7D")] };
    let first = diff::platform(&wanted, &broker.snapshot().await.unwrap());
    assert_eq!((first.declare.len(), first.set.len()), (1, 1));
    broker.declare_exchange(&first.declare[0]).await.unwrap();
    broker.set_policy(&first.set[0]).await.unwrap();
    apply(&broker, &diff::room(&room(), &broker.snapshot().await.unwrap())).await;

    let found = broker.snapshot().await.unwrap();
    assert_eq!(diff::platform(&wanted, &found), diff::PlatformDifference::default());
    assert_eq!(diff::room(&room(), &found), RoomDifference::default());
    assert_eq!(found.applied["parlor.log.standard.a.b.1-abcdef"], "parlor.log.standard");
    assert_eq!(broker.queue("parlor.sub.a.b.s").await.unwrap().as_ref(), found.queues.get("parlor.sub.a.b.s"));

    // Drift: what is gone is asked for again, what is ours and too much goes.
    broker.delete_queue("parlor.sub.a.b.s").await.unwrap();
    broker.unbind(&binding("parlor.log.standard.a.b.1-abcdef", "room.a.b.1-abcdef")).await.unwrap();
    let difference = diff::room(&room(), &broker.snapshot().await.unwrap());
    assert_eq!((difference.declare.len(), difference.bind.len()), (1, 3));
    apply(&broker, &difference).await;
    broker.bind(&binding("parlor.sub.a.b.s", "event.old")).await.unwrap();
    let difference = diff::room(&room(), &broker.snapshot().await.unwrap());
    assert_eq!(difference.unbind, [binding("parlor.sub.a.b.s", "event.old")]);
    apply(&broker, &difference).await;
    assert_eq!(diff::room(&room(), &broker.snapshot().await.unwrap()), RoomDifference::default());

    // A policy changes in place.
    let other = PlatformTopology { policies: vec![policy("36h")], ..wanted };
    let difference = diff::platform(&other, &broker.snapshot().await.unwrap());
    assert_eq!(difference.set, [policy("36h")]);
    broker.set_policy(&difference.set[0]).await.unwrap();
    assert_eq!(diff::platform(&other, &broker.snapshot().await.unwrap()).set, []);
}

#[tokio::test]
async fn the_broker_refuses_other_arguments_of_a_queue_but_not_of_an_exchange() {
    let (_vhost, broker) = vhost().await;
    broker.declare_queue(&stream(1 << 20)).await.unwrap();
    broker.declare_queue(&stream(1 << 20)).await.unwrap();
    let refused = broker.declare_queue(&stream(2 << 20)).await.unwrap_err();
    assert!(
        matches!(&refused, BrokerError::Conflict(text) if text.contains("x-stream-max-segment-size-bytes")),
        "{refused:?}"
    );

    // Why the platform's id is read before anything is declared.
    broker.declare_exchange(&exchange("mine")).await.unwrap();
    broker.declare_exchange(&exchange("other")).await.unwrap();
    let found = broker.snapshot().await.unwrap();
    assert_eq!(found.exchanges["parlor.rooms"], exchange("mine"));
}

#[tokio::test]
async fn what_is_not_there_is_none_and_deleting_it_is_done() {
    let (_vhost, broker) = vhost().await;
    assert_eq!(broker.queue("parlor.none").await.unwrap(), None);
    broker.delete_queue("parlor.none").await.unwrap();
    broker.unbind(&binding("parlor.none", "k")).await.unwrap();
    assert_eq!(broker.bind(&binding("parlor.none", "k")).await.unwrap_err(), BrokerError::NotFound);
}

#[tokio::test]
async fn errors_tell_what_happened_and_no_password() {
    let (vhost, _) = vhost().await;
    let wrong = vhost
        .management_url
        .replace("://", "://nobody:hunter2@")
        .replace(vhost.management_url.split("://").nth(1).unwrap().split('@').next().unwrap(), "");
    let wrong = wrong.replace("@@", "@");
    let refused = Broker::new(&wrong, &vhost.name, None).unwrap().snapshot().await.unwrap_err();
    assert!(matches!(refused, BrokerError::Refused { status: 401, .. }) && refused.concerns_all(), "{refused:?}");
    let nobody = Broker::new("http://user:hunter2@127.0.0.1:1", "v", None).unwrap().snapshot().await.unwrap_err();
    assert!(matches!(nobody, BrokerError::Unreachable(_)), "{nobody:?}");
    assert!(!refused.to_string().contains("hunter2") && !nobody.to_string().contains("hunter2"));
    let absent = Broker::new(&vhost.management_url, "parlor-none", None).unwrap().snapshot().await.unwrap_err();
    assert_eq!(absent, BrokerError::NotFound);
}

#[test]
fn names_survive_the_way_into_an_address() {
    assert_eq!(encode("a b/c%.~"), "a%20b%2Fc%25.~");
    assert_eq!(decode("p%40ss%"), "p@ss%");
}
