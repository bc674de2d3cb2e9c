//! Reads what the operator says of a room, or says which field cannot be and what to write instead. The operator validates manifests
//! itself; the limits here are what this program can bear, and are never narrower than those of the manifests.

use crate::rooms::confirm::Declared;
use crate::rooms::refusal::Refusal;
use crate::rooms::spec::{Claim, DeletionPolicy, Limits, NamedMember, Put, Spec, Uploads};
use contract::event::{Role, Visibility};
use contract::position::NotAnEpoch;
use contract::room::{NotARoom, RoomName, is_dns_label};
use contract::username;
use proto::chat::v1 as pb;
use std::collections::HashSet;
use std::ops::RangeInclusive;

const UID_BYTES: usize = 1024;
const HASH_BYTES: usize = 256;
const DISPLAY_NAME_BYTES: usize = 400;
const TOPIC_BYTES: usize = 2000;
const MEDIA_TYPES: usize = 32;
const MEDIA_TYPE_BYTES: usize = 127;
/// With its escapes it still fits a frame of 64 KiB.
const MESSAGE_BYTES: RangeInclusive<u32> = 1..=16_384;
const PER_SECOND: RangeInclusive<u32> = 1..=1000;
const BURST: RangeInclusive<u32> = 1..=10_000;
const MEMBERS: RangeInclusive<u32> = 1..=100_000;
const REPLICAS: RangeInclusive<u32> = 1..=99;
/// RabbitMQ takes no larger segment.
const SEGMENT_BYTES: RangeInclusive<u64> = 1..=3_000_000_000;
/// More than what manifests can say: `99999w`.
const RETENTION_SECONDS: RangeInclusive<u64> = 0..=1_000_000_000_000;
/// More than what manifests can say: `999999Ti`.
const LOG_BYTES: RangeInclusive<u64> = 0..=(1 << 60);
const UPLOAD_BYTES: RangeInclusive<u64> = 0..=(1 << 40);

fn invalid(field: &str, cure: impl Into<String>) -> Refusal {
    Refusal::Invalid { field: field.to_owned(), cure: cure.into() }
}

/// A room to be put.
pub(super) fn put(put: pb::PutRoom) -> Result<Put, Refusal> {
    let room = room(&put.room)?;
    if room.namespace().starts_with('~') {
        return Err(invalid("room", "namespaces that begin with `~` are for rooms that people make: choose another"));
    }
    if put.generation < 0 {
        return Err(invalid("generation", "send 0 for a file, else the object's generation"));
    }
    let claim = Claim {
        owner_uid: text("owner_uid", put.owner_uid, 1..=UID_BYTES)?,
        generation: put.generation,
        hash: text("hash", put.hash, 1..=HASH_BYTES)?,
        takes_over_from: match text("takes_over_from", put.takes_over_from, 0..=UID_BYTES)? {
            nobody if nobody.is_empty() => None,
            owner => Some(owner),
        },
    };
    let spec = spec(put.spec.ok_or_else(|| invalid("spec", "is missing: say what the room is to be"))?)?;
    Ok(Put { room, claim, spec })
}

fn spec(spec: pb::RoomSpec) -> Result<Spec, Refusal> {
    if !is_dns_label(&spec.class_name) {
        return Err(invalid("spec.class_name", "write a class's name: 1 to 63 of a-z, 0-9 and `-`"));
    }
    let limits = limits(&spec.limits.ok_or_else(|| invalid("spec.limits", "is missing"))?)?;
    let uploads = spec.uploads.ok_or_else(|| invalid("spec.uploads", "is missing"))?;
    Ok(Spec {
        display_name: text("spec.display_name", spec.display_name, 1..=DISPLAY_NAME_BYTES)?,
        topic: text("spec.topic", spec.topic, 0..=TOPIC_BYTES)?,
        visibility: Visibility::parse(&spec.visibility)
            .ok_or_else(|| invalid("spec.visibility", "write Public or Private"))?,
        class: spec.class_name,
        members: members(spec.members, limits.max_members)?,
        limits,
        retention_seconds: long("spec.retention_seconds", spec.retention_seconds, &RETENTION_SECONDS)?,
        deletion_policy: DeletionPolicy::parse(&spec.deletion_policy)
            .ok_or_else(|| invalid("spec.deletion_policy", "write Retain, DeleteIfEmpty or Delete"))?,
        replicas: int("spec.replicas", spec.replicas, &REPLICAS)?,
        segment_bytes: long("spec.segment_bytes", spec.segment_bytes, &SEGMENT_BYTES)?,
        uploads: self::uploads(uploads)?,
        log_bytes: long("spec.log_bytes", spec.log_bytes, &LOG_BYTES)?,
        log_seconds: long("spec.log_seconds", spec.log_seconds, &RETENTION_SECONDS)?,
    })
}

fn limits(limits: &pb::RoomLimits) -> Result<Limits, Refusal> {
    Ok(Limits {
        message_bytes: int("spec.limits.message_bytes", limits.message_bytes, &MESSAGE_BYTES)?,
        messages_per_second: int("spec.limits.messages_per_second", limits.messages_per_second, &PER_SECOND)?,
        burst: int("spec.limits.burst", limits.burst, &BURST)?,
        max_members: int("spec.limits.max_members", limits.max_members, &MEMBERS)?,
    })
}

fn uploads(uploads: pb::UploadLimits) -> Result<Uploads, Refusal> {
    if uploads.media_types.len() > MEDIA_TYPES {
        return Err(invalid(
            "spec.uploads.media_types",
            format!("write at most {MEDIA_TYPES}, or families as image/*"),
        ));
    }
    let kinds =
        uploads.media_types.into_iter().map(|kind| text("spec.uploads.media_types", kind, 1..=MEDIA_TYPE_BYTES));
    Ok(Uploads {
        max_bytes: long("spec.uploads.max_bytes", uploads.max_bytes, &UPLOAD_BYTES)?,
        media_types: kinds.collect::<Result<_, _>>()?,
    })
}

fn members(members: Vec<pb::RoomMember>, most: i32) -> Result<Vec<NamedMember>, Refusal> {
    let field = "spec.members";
    if usize::try_from(most).is_ok_and(|most| members.len() > most) {
        let cure = format!("names {} people, the room takes {most}: name fewer, or raise its limit", members.len());
        return Err(invalid(field, cure));
    }
    let mut seen = HashSet::new();
    let member = |member: pb::RoomMember| {
        if !username::is_valid(&member.username) {
            return Err(invalid(field, format!("{:?} is no username", shortened(&member.username))));
        }
        if !seen.insert(member.username.clone()) {
            return Err(invalid(field, format!("names {} twice: once is enough", member.username)));
        }
        let role = Role::parse(&member.role)
            .ok_or_else(|| invalid(field, "write the role Owner, Moderator, Member or ReadOnly"))?;
        Ok(NamedMember { username: member.username, role })
    };
    members.into_iter().map(member).collect()
}

fn text(field: &str, text: String, bytes: RangeInclusive<usize>) -> Result<String, Refusal> {
    if !bytes.contains(&text.len()) {
        let cure = format!("has {} bytes: {} to {} are allowed", text.len(), bytes.start(), bytes.end());
        return Err(invalid(field, cure));
    }
    if text.chars().any(|character| character.is_control() && character != '\n' && character != '\t') {
        return Err(invalid(field, "holds a control character: take it out"));
    }
    Ok(text)
}

fn int(field: &str, value: u32, range: &RangeInclusive<u32>) -> Result<i32, Refusal> {
    let within = range.contains(&value).then(|| i32::try_from(value).ok()).flatten();
    within.ok_or_else(|| invalid(field, format!("is {value}: write {} to {}", range.start(), range.end())))
}

fn long(field: &str, value: u64, range: &RangeInclusive<u64>) -> Result<i64, Refusal> {
    let within = range.contains(&value).then(|| i64::try_from(value).ok()).flatten();
    within.ok_or_else(|| invalid(field, format!("is {value}: write {} to {}", range.start(), range.end())))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn room(text: &str) -> Result<RoomName, Refusal> {
    text.parse().map_err(|error: NotARoom| invalid("room", error.to_string()))
}

/// A log that is to be confirmed.
pub(super) fn declared(log: &pb::LogName) -> Result<Declared, Refusal> {
    let epoch = log.epoch.parse().map_err(|error: NotAnEpoch| invalid("epoch", error.to_string()))?;
    Ok(Declared { room: room(&log.room)?, epoch })
}

#[cfg(test)]
mod tests;
