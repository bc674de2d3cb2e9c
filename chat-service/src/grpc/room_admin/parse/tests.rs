//! Wrong puts, one at a time.

use super::*;

fn good() -> pb::PutRoom {
    pb::PutRoom {
        room: "team-a/general".into(),
        owner_uid: "rooms/general.yaml".into(),
        generation: 0,
        hash: "h".into(),
        takes_over_from: String::new(),
        spec: Some(pb::RoomSpec {
            display_name: "General".into(),
            topic: "line\nline\t…".into(),
            visibility: "Public".into(),
            class_name: "standard".into(),
            members: vec![pb::RoomMember { username: "alice".into(), role: "Owner".into() }],
            limits: Some(pb::RoomLimits { message_bytes: 8192, messages_per_second: 10, burst: 20, max_members: 2 }),
            retention_seconds: 31_449_600,
            deletion_policy: "Retain".into(),
            replicas: 1,
            segment_bytes: 16 << 20,
            uploads: Some(pb::UploadLimits { max_bytes: 25 << 20, media_types: vec!["image/*".into()] }),
            log_bytes: 0,
            log_seconds: 0,
        }),
    }
}

/// The field that is named once `change` was made.
fn refused(change: impl FnOnce(&mut pb::PutRoom)) -> String {
    let mut put = good();
    change(&mut put);
    match super::put(put) {
        Err(Refusal::Invalid { field, cure }) => {
            assert!(!cure.is_empty());
            field
        }
        other => panic!("{other:?}"),
    }
}

fn spec(change: impl FnOnce(&mut pb::RoomSpec)) -> String {
    refused(|put| change(put.spec.as_mut().unwrap()))
}

#[test]
fn a_good_room_is_read_as_it_was_written() {
    let put = put(good()).unwrap();
    assert_eq!(put.room.as_str(), "team-a/general");
    assert_eq!(put.claim.takes_over_from, None);
    assert_eq!(put.spec.members, [NamedMember { username: "alice".into(), role: Role::Owner }]);
    assert_eq!((put.spec.limits.message_bytes, put.spec.retention_seconds), (8192, 31_449_600));
    assert_eq!(put.spec.deletion_policy, DeletionPolicy::Retain);
}

#[test]
fn who_puts_it_and_where_is_checked() {
    assert_eq!(refused(|put| put.room = "general".into()), "room");
    assert_eq!(refused(|put| put.room = "~people/x".into()), "room");
    assert_eq!(refused(|put| put.owner_uid = String::new()), "owner_uid");
    assert_eq!(refused(|put| put.owner_uid = "a\0".into()), "owner_uid");
    assert_eq!(refused(|put| put.generation = -1), "generation");
    assert_eq!(refused(|put| put.hash = "h".repeat(257)), "hash");
    assert_eq!(refused(|put| put.takes_over_from = "\u{1}".into()), "takes_over_from");
    assert_eq!(refused(|put| put.spec = None), "spec");
}

#[test]
fn every_field_of_the_spec_is_checked() {
    assert_eq!(spec(|spec| spec.display_name = String::new()), "spec.display_name");
    assert_eq!(spec(|spec| spec.topic = "\0".into()), "spec.topic");
    assert_eq!(spec(|spec| spec.visibility = "public".into()), "spec.visibility");
    assert_eq!(spec(|spec| spec.class_name = "a.b".into()), "spec.class_name");
    assert_eq!(spec(|spec| spec.limits = None), "spec.limits");
    assert_eq!(spec(|spec| spec.limits.as_mut().unwrap().message_bytes = 0), "spec.limits.message_bytes");
    assert_eq!(spec(|spec| spec.limits.as_mut().unwrap().messages_per_second = 0), "spec.limits.messages_per_second");
    assert_eq!(spec(|spec| spec.limits.as_mut().unwrap().burst = u32::MAX), "spec.limits.burst");
    assert_eq!(spec(|spec| spec.limits.as_mut().unwrap().max_members = 0), "spec.limits.max_members");
    assert_eq!(spec(|spec| spec.retention_seconds = u64::MAX), "spec.retention_seconds");
    assert_eq!(spec(|spec| spec.deletion_policy = "Keep".into()), "spec.deletion_policy");
    assert_eq!(spec(|spec| spec.replicas = 0), "spec.replicas");
    assert_eq!(spec(|spec| spec.segment_bytes = 0), "spec.segment_bytes");
    assert_eq!(spec(|spec| spec.log_bytes = u64::MAX), "spec.log_bytes");
    assert_eq!(spec(|spec| spec.log_seconds = u64::MAX), "spec.log_seconds");
    assert_eq!(spec(|spec| spec.uploads = None), "spec.uploads");
    assert_eq!(spec(|spec| spec.uploads.as_mut().unwrap().max_bytes = u64::MAX), "spec.uploads.max_bytes");
    assert_eq!(
        spec(|spec| spec.uploads.as_mut().unwrap().media_types = vec!["a/b".into(); 33]),
        "spec.uploads.media_types"
    );
}

#[test]
fn members_are_different_people_with_roles_and_not_too_many() {
    let member = |name: &str, role: &str| pb::RoomMember { username: name.into(), role: role.into() };
    for members in [
        vec![member("Alice", "Owner")],
        vec![member("alice", "owner")],
        vec![member("alice", "Owner"), member("alice", "Member")],
        vec![member("a", "Owner"), member("b", "Owner"), member("c", "Owner")],
    ] {
        assert_eq!(spec(|spec| spec.members = members), "spec.members");
    }
}

#[test]
fn a_log_to_confirm_has_a_room_and_an_epoch() {
    let log = |room: &str, epoch: &str| pb::LogName { room: room.into(), epoch: epoch.into() };
    assert_eq!(declared(&log("a/b", "1-abcdef")).unwrap().epoch.ordinal(), 1);
    assert!(declared(&log("a", "1-abcdef")).is_err() && declared(&log("a/b", "1")).is_err());
}
