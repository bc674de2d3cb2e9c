//! From a manifest's text through the real checks to what is asked of chat-service and RabbitMQ.

use super::*;
use std::sync::Arc;

use super::super::{Subject, validate};
use crate::crd::schemas;
use crate::source::{Manifest, folder::parse_for_tests as parse};

const OWNER: &str = "file:rooms/x.yaml";

/// The room `a/x` with this spec.
fn claim(spec: &str) -> Claim {
    let text = format!(
        "{{apiVersion: parlor.dev/v1alpha1, kind: ChatRoom, metadata: {{namespace: a, name: x}}, spec: {spec}}}"
    );
    let file = parse(&"x.yaml".into(), OWNER, &text);
    let manifest: Arc<Manifest> = file.rooms[0].clone();
    Claim { manifest, takes_over_from: None, over_quota: false }
}

fn ground() -> Ground {
    Ground { schemas: Arc::new(schemas().unwrap()), platform: Arc::default(), closed: None }
}

fn log(epoch: &str, state: &str) -> Log {
    Log {
        stream: format!("parlor.log.standard.a.x.{epoch}"),
        epoch: epoch.into(),
        routing_key: format!("room.a.x.{epoch}"),
        class_name: "standard".into(),
        replicas: 1,
        segment_bytes: 16 << 20,
        state: state.into(),
    }
}

/// One step from manifest and row to an action.
fn action(claim: Claim, row: Option<Room>) -> Action {
    action_on(&ground(), claim, row)
}

fn action_on(ground: &Ground, claim: Claim, row: Option<Room>) -> Action {
    let subject = Subject { room: "a/x".parse().unwrap(), claim: Some(claim) };
    let checked = validate::all(ground, vec![Found { subject, row }]);
    plans(ground, &World::default(), checked).remove(0).action
}

/// The row that this manifest's put leaves.
fn row_of(spec: &str) -> Room {
    let Action::Put(_, put) = action(claim(spec), None) else { panic!("no put") };
    let log = log("1-abcdef", "open");
    Room {
        room: put.room,
        owner_uid: put.owner_uid,
        hash: put.hash,
        open: true,
        log: Some(log.clone()),
        current: Some(log),
        ..Room::default()
    }
}

#[test]
fn a_new_room_is_put_with_every_default_filled_in() {
    let Action::Put(_, put) = action(claim("{members: [{user: zoe}, {user: alice, role: Owner}]}"), None) else {
        panic!()
    };
    let spec = put.spec.unwrap();
    assert_eq!((put.room.as_str(), put.owner_uid.as_str(), put.generation), ("a/x", OWNER, 0));
    assert_eq!(
        (spec.display_name.as_str(), spec.visibility.as_str(), spec.deletion_policy.as_str()),
        ("x", "Public", "Retain")
    );
    assert_eq!((spec.replicas, spec.segment_bytes, spec.retention_seconds), (1, 16 << 20, 0));
    // A class of defaults: as before there were these fields, so that no row changes by an upgrade.
    assert_eq!((spec.log_bytes, spec.log_seconds), (0, 0));
    let members: Vec<_> = spec.members.iter().map(|member| (member.username.as_str(), member.role.as_str())).collect();
    assert_eq!(members, [("alice", "Owner"), ("zoe", "Member")]);
}

#[test]
fn what_the_class_says_of_the_logs_size_and_age_is_put_and_a_change_is_put_again() {
    let row = row_of("{}");
    let class = |max_bytes: &str, max_age: &str| {
        let class = json!({"name": "standard", "replicas": 1, "maxBytes": max_bytes, "maxAge": max_age});
        let class: Class = serde_json::from_value(class).unwrap();
        let classes = [(class.name.clone(), class)].into();
        Ground { platform: Arc::new(Platform { classes, ..Platform::default() }), ..ground() }
    };
    let Action::Put(_, put) = action_on(&class("64Mi", "2h"), claim("{}"), Some(row)) else { panic!("no put") };
    let spec = put.spec.unwrap();
    assert_eq!((spec.log_bytes, spec.log_seconds), (64 << 20, 7_200));
}

#[test]
fn an_unchanged_room_is_kept_and_a_changed_closed_or_released_one_is_put() {
    let row = row_of("{topic: t}");
    assert!(matches!(action(claim("{topic: t}"), Some(row.clone())), Action::Keep(Some(_))));
    // What the platform chose of itself says nothing new.
    assert!(matches!(
        action(claim("{topic: t, subscriptions: [{name: s, events: [message]}]}"), Some(row.clone())),
        Action::Keep(_)
    ));
    assert!(matches!(action(claim("{topic: other}"), Some(row.clone())), Action::Put(..)));
    let closed = Room { open: false, released: true, ..row.clone() };
    assert!(matches!(action(claim("{topic: t}"), Some(closed)), Action::Put(..)));
}

#[test]
fn the_order_of_members_changes_nothing() {
    let row = row_of("{members: [{user: a}, {user: b}]}");
    assert!(matches!(action(claim("{members: [{user: b}, {user: a}]}"), Some(row)), Action::Keep(_)));
}

#[test]
fn the_hash_of_a_spec_is_the_same_in_every_version() {
    let Action::Put(_, put) = action(claim("{topic: t, members: [{user: alice}]}"), None) else { panic!() };
    assert_eq!(put.hash, HASH);
}

/// If this changes, every room is written again at the first start of the new version.
const HASH: &str = "dda36ebcaa4b541899c58587a9a25257";

#[test]
fn another_owner_is_a_conflict_unless_it_let_go_or_was_seen_gone() {
    let theirs = Room { owner_uid: "file:rooms/y.yaml".into(), ..row_of("{}") };
    let Action::Refuse(refusal) = action(claim("{}"), Some(theirs.clone())) else { panic!() };
    assert_eq!(refusal.reason, Reason::NameConflict);
    assert_eq!(refusal.message, "file:rooms/y.yaml declared this room first: remove one of the two manifests");
    let mut over = claim("{}");
    over.takes_over_from = Some("file:rooms/y.yaml".into());
    let Action::Put(_, put) = action(over, Some(theirs.clone())) else { panic!() };
    assert_eq!(put.takes_over_from, "file:rooms/y.yaml");
    let released = Room { released: true, open: false, ..theirs };
    assert!(matches!(action(claim("{}"), Some(released)), Action::Put(..)));
}

#[test]
fn refusals_name_the_place_and_the_cure() {
    let refused = |claim: Claim, row: Option<Room>| match action(claim, row) {
        Action::Refuse(refusal) => (refusal.reason, refusal.message),
        other => panic!("{other:?}"),
    };
    let (reason, message) = refused(claim("{className: big}"), None);
    assert_eq!(
        (reason, message.as_str()),
        (Reason::ClassNotFound, "x.yaml:1: spec.className: there is no class `big`: write one of standard")
    );
    assert_eq!(refused(claim("{topic: 5}"), None).0, Reason::InvalidManifest);
    let mut full = claim("{}");
    full.over_quota = true;
    assert_eq!(refused(full, None).0, Reason::QuotaExceeded);
    let mut row = row_of("{}");
    row.log.as_mut().unwrap().class_name = "big".into();
    assert_eq!(refused(claim("{}"), Some(row)).0, Reason::ImmutableField);
}

#[test]
fn a_suspended_room_is_left_alone_whatever_changed() {
    assert!(matches!(action(claim("{suspend: true, topic: new}"), Some(row_of("{}"))), Action::Suspend));
}

#[test]
fn a_log_in_use_is_never_declared_and_a_pending_one_is() {
    let room: RoomName = "a/x".parse().unwrap();
    let mut row = row_of("{}");
    let wanted = topology(&room, None, &row);
    assert_eq!(wanted.queues.len(), 1);
    assert!(!wanted.queues[0].may_declare);
    row.log = Some(log("2-bcdefg", "pending"));
    let wanted = topology(&room, None, &row);
    let declared: Vec<_> = wanted.queues.iter().map(|queue| (queue.queue.name.as_str(), queue.may_declare)).collect();
    assert_eq!(declared, [("parlor.log.standard.a.x.1-abcdef", false), ("parlor.log.standard.a.x.2-bcdefg", true)]);
    row.current.as_mut().unwrap().state = "gone".into();
    assert_eq!(topology(&room, None, &row).queues.len(), 1);
    let arguments = serde_json::Value::from(stream(&log("1-abcdef", "open")).arguments);
    assert_eq!(
        arguments,
        json!({"x-queue-type": "stream", "x-queue-leader-locator": "balanced", "x-initial-cluster-size": 1, "x-stream-max-segment-size-bytes": 16_777_216})
    );
}

#[test]
fn a_subscription_is_a_queue_with_one_binding_for_each_type_of_event() {
    let Action::Put(valid, _) =
        action(claim("{subscriptions: [{name: audit, events: [message, edited], maxLength: 5}]}"), None)
    else {
        panic!()
    };
    let wanted = topology(&"a/x".parse().unwrap(), Some(&valid), &row_of("{}"));
    let queue = &wanted.queues[1].queue;
    assert_eq!(queue.name, "parlor.sub.a.x.audit");
    let expected =
        json!({"x-queue-type": "quorum", "x-overflow": "drop-head", "x-max-length": 5, "x-delivery-limit": 10});
    assert_eq!(serde_json::Value::from(queue.arguments.clone()), expected);
    let keys: Vec<_> = wanted
        .bindings
        .iter()
        .filter(|binding| binding.queue == queue.name)
        .map(|binding| binding.key.as_str())
        .collect();
    assert_eq!(keys, ["event.a.x.edited", "event.a.x.message"]);
}
