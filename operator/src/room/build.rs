//! Step 3, pure: what a room's row is to say, and what the broker is to have for it.

use std::collections::BTreeSet;

use contract::names::{self, EVENTS_EXCHANGE, ROOMS_EXCHANGE};
use contract::room::RoomName;
use prost::Message;
use proto::chat::v1::{Log, PutRoom, Room, RoomLimits, RoomMember, RoomSpec, UploadLimits};
use serde_json::json;
use uuid::Uuid;

use super::dereference::Found;
use super::validate::{Checked, Refusal, ValidatedRoom};
use super::{Claim, Ground};
use crate::broker::diff::{RoomTopology, Sole, WantedQueue};
use crate::broker::topology::{Arguments, Binding, Queue};
use crate::context::{Closed, World};
use crate::crd::chat_platform::Class;
use crate::crd::chat_room::Subscription;
use crate::crd::shape;
use crate::platform::Platform;
use crate::platform::build::{is_open, logs};
use crate::report::Reason;

/// Namespace of the hashes of specs.
const HASHES: Uuid = Uuid::from_u128(0x7061_726c_6f72_4f50_a5e1_0d6b_1c3f_9e27);

/// What is to be done with one room.
#[derive(Debug)]
pub(super) struct Plan {
    /// The room and its row.
    pub(super) found: Found,
    /// What to do.
    pub(super) action: Action,
}

/// What to do with a room.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing: it stands as it is, for this reason.
    Refuse(Refusal),
    /// Nothing now: no room can be worked on.
    Wait(Closed),
    /// Nothing at all, as the manifest says.
    Suspend,
    /// The row is as it is to be, or nobody declares the room: only the broker is looked at.
    Keep(Option<Box<ValidatedRoom>>),
    /// The row first.
    Put(Box<ValidatedRoom>, Box<PutRoom>),
}

/// What is to be done with each room.
pub(super) fn plans(ground: &Ground, world: &World, rooms: Vec<Checked>) -> Vec<Plan> {
    rooms.into_iter().map(|checked| plan(ground, world, checked)).collect()
}

fn plan(ground: &Ground, world: &World, Checked { found, valid }: Checked) -> Plan {
    let action = match (valid, &ground.closed) {
        (Err(refusal), _) => Action::Refuse(refusal),
        (Ok(_), Some(closed)) => Action::Wait(closed.clone()),
        (Ok(None), None) => Action::Keep(None),
        (Ok(Some(valid)), None) if valid.spec.suspend => Action::Suspend,
        (Ok(Some(valid)), None) => {
            let claim = found.subject.claim.as_ref();
            claim.map_or(Action::Keep(None), |claim| row_action(ground, world, claim, valid, found.row.as_ref()))
        }
    };
    Plan { found, action }
}

fn row_action(ground: &Ground, world: &World, claim: &Claim, valid: ValidatedRoom, row: Option<&Room>) -> Action {
    let put = put(&ground.platform, world, claim, &valid);
    let Some(row) = row else { return Action::Put(Box::new(valid), Box::new(put)) };
    let mine = row.owner_uid == put.owner_uid;
    if !mine && !row.released && claim.takes_over_from.as_deref() != Some(&row.owner_uid) {
        let message = format!("{} declared this room first: remove one of the two manifests", row.owner_uid);
        return Action::Refuse(Refusal::new(Reason::NameConflict, message));
    }
    if let Some(class) = row.log.as_ref().map(|log| &log.class_name).filter(|class| **class != valid.spec.class_name) {
        let message = format!(
            "spec.className was {class} when the room was made and is {} now: put the old value back, or make another room",
            valid.spec.class_name
        );
        return Action::Refuse(Refusal::new(Reason::ImmutableField, message));
    }
    if mine && row.hash == put.hash && row.open && !row.released {
        Action::Keep(Some(Box::new(valid)))
    } else {
        Action::Put(Box::new(valid), Box::new(put))
    }
}

fn put(platform: &Platform, world: &World, claim: &Claim, valid: &ValidatedRoom) -> PutRoom {
    let spec = spec(platform, world.nodes, valid);
    PutRoom {
        room: valid.name.to_string(),
        owner_uid: claim.manifest.owner.to_string(),
        // A file has none: the row counts for it.
        generation: 0,
        hash: hash(&spec),
        spec: Some(spec),
        takes_over_from: claim.takes_over_from.clone().unwrap_or_default(),
    }
}

/// The same for the same spec in every version of the operator: a field that is added later with its default does not change it.
fn hash(spec: &RoomSpec) -> String {
    Uuid::new_v5(&HASHES, &spec.encode_to_vec()).simple().to_string()
}

fn spec(platform: &Platform, nodes: Option<u32>, valid: &ValidatedRoom) -> RoomSpec {
    let spec = &valid.spec;
    let default = Class::named(&spec.class_name);
    let class = platform.classes.get(&spec.class_name).unwrap_or(&default);
    let mut members: Vec<RoomMember> = spec
        .members
        .iter()
        .map(|member| RoomMember { username: member.user.clone(), role: format!("{:?}", member.role) })
        .collect();
    members.sort_by(|left, right| left.username.cmp(&right.username));
    RoomSpec {
        display_name: spec.display_name.clone().unwrap_or_else(|| valid.name.name().to_owned()),
        topic: spec.topic.clone(),
        visibility: format!("{:?}", spec.visibility),
        class_name: spec.class_name.clone(),
        members,
        limits: Some(RoomLimits {
            message_bytes: spec.limits.message_bytes,
            messages_per_second: spec.limits.messages_per_second,
            burst: spec.limits.burst,
            max_members: spec.limits.max_members,
        }),
        retention_seconds: spec.retention.messages.as_deref().and_then(shape::seconds).unwrap_or(0),
        deletion_policy: spec.deletion_policy.word().to_owned(),
        replicas: nodes.map_or(class.replicas, |nodes| class.replicas.min(nodes.max(1))),
        segment_bytes: class.segment_bytes.count(),
        uploads: Some(UploadLimits {
            max_bytes: spec.uploads.max_bytes.count(),
            media_types: spec.uploads.media_types.clone(),
        }),
        log_bytes: unless(&default.max_bytes.count(), class.max_bytes.count()),
        log_seconds: shape::seconds(unless(&default.max_age.as_str(), class.max_age.as_str())).unwrap_or(0),
    }
}

/// Nothing for the default: that is what it was before there was the field.
fn unless<T: PartialEq + Default>(default: &T, value: T) -> T {
    if value == *default { T::default() } else { value }
}

/// What the broker is to have for a room with this row. Without a manifest: its logs.
pub(super) fn topology(room: &RoomName, valid: Option<&ValidatedRoom>, row: &Room) -> RoomTopology {
    let mut wanted = RoomTopology::default();
    for log in logs(row) {
        wanted.queues.push(WantedQueue { queue: stream(log), may_declare: !is_open(log) });
        wanted.bindings.insert(Binding {
            source: ROOMS_EXCHANGE.to_owned(),
            queue: log.stream.clone(),
            key: log.routing_key.clone(),
        });
    }
    for subscription in valid.iter().flat_map(|valid| &valid.spec.subscriptions) {
        let name = names::subscription_queue(room, &subscription.name);
        wanted.queues.push(WantedQueue { queue: subscription_queue(&name, subscription), may_declare: true });
        wanted.bindings.extend(subscription_bindings(room, &name, subscription));
        wanted.sole.push(Sole { source: EVENTS_EXCHANGE.to_owned(), queue: name, prefix: names::event_key(room, "") });
    }
    wanted
}

/// Exactly as the row says: what it says never changes.
pub(super) fn stream(log: &Log) -> Queue {
    let mut arguments = Arguments::new();
    arguments.insert("x-queue-type".to_owned(), json!("stream"));
    // Else every leader stands on the node that got the request.
    arguments.insert("x-queue-leader-locator".to_owned(), json!("balanced"));
    arguments.insert("x-initial-cluster-size".to_owned(), json!(log.replicas));
    arguments.insert("x-stream-max-segment-size-bytes".to_owned(), json!(log.segment_bytes));
    Queue { name: log.stream.clone(), durable: true, auto_delete: false, arguments }
}

fn subscription_queue(name: &str, subscription: &Subscription) -> Queue {
    let mut arguments = Arguments::new();
    arguments.insert("x-queue-type".to_owned(), json!("quorum"));
    // A program that does not read delays nobody: it loses its oldest events.
    arguments.insert("x-overflow".to_owned(), json!("drop-head"));
    arguments.insert("x-max-length".to_owned(), json!(subscription.max_length));
    arguments.insert("x-delivery-limit".to_owned(), json!(subscription.delivery_limit));
    Queue { name: name.to_owned(), durable: true, auto_delete: false, arguments }
}

fn subscription_bindings(room: &RoomName, queue: &str, subscription: &Subscription) -> BTreeSet<Binding> {
    subscription
        .events
        .iter()
        .map(|event| Binding {
            source: EVENTS_EXCHANGE.to_owned(),
            queue: queue.to_owned(),
            key: names::event_key(room, event.word()),
        })
        .collect()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
