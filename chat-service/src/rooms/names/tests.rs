//! Names against a real PostgreSQL.

use super::*;
use crate::rooms::testing::{Fixture, manifest, naming, person};
use contract::event::Role;

fn member(name: &str, role: &str, source: &str) -> (String, String, String) {
    (name.into(), role.into(), source.into())
}

/// What the outbox says of members: username, change, role.
async fn said(fixture: &Fixture, room: Uuid) -> Vec<(String, String, String)> {
    let bodies = fixture.outbox(room).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let members = bodies.iter().filter(|body| body["type"] == "member");
    members.map(|body| (text(&body["user"]["username"]), text(&body["change"]), text(&body["role"]))).collect()
}

#[tokio::test]
async fn a_name_that_nobody_holds_is_pending_until_somebody_does_and_is_then_bound_in_every_room() {
    let fixture = Fixture::new().await;
    let named = [("alice", Role::Owner), ("bob", Role::ReadOnly)];
    let one = fixture.put(&naming(&manifest("a/one"), "1", &named)).await.unwrap();
    let two = fixture.put(&naming(&manifest("a/two"), "1", &named[..1])).await.unwrap();
    assert_eq!(fixture.members(one).await, []);
    assert_eq!(names::pending_of(&fixture.pool, &[one]).await.unwrap(), ["alice", "bob"]);
    assert!(names::is_pending(&fixture.pool, "alice").await.unwrap());

    let told = bind(&fixture.pool, &[person("alice"), person("stranger")]).await.unwrap();
    assert!(told.events);
    let heard = |room: &str| Hint::RoomsChanged { user: person("alice").id, room: room.parse().unwrap() };
    assert!(told.hints.contains(&heard("a/one")) && told.hints.contains(&heard("a/two")));
    assert_eq!(fixture.members(one).await, [member("alice", "Owner", "manifest")]);
    assert_eq!(said(&fixture, two).await, [("alice".into(), "joined".into(), "Owner".into())]);
    assert_eq!(names::pending_of(&fixture.pool, &[one, two]).await.unwrap(), ["bob"]);
    let view = crate::rooms::view::get(&fixture.pool, &"a/one".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(view.members_pending, ["bob"]);

    // Somebody else who says that they are called alice is not let in.
    let other = User { id: Uuid::now_v7(), ..person("alice") };
    assert_eq!(bind(&fixture.pool, &[other]).await.unwrap(), Effects::default());
    assert_eq!(fixture.count("select count(distinct user_id) from members").await, 1);
}

#[tokio::test]
async fn who_is_dropped_is_out_unless_they_joined_themselves() {
    let fixture = Fixture::new().await;
    let put = manifest("a/b");
    let room = fixture.put(&naming(&put, "1", &[("alice", Role::Owner), ("bob", Role::Moderator)])).await.unwrap();
    bind(&fixture.pool, &[person("alice"), person("bob")]).await.unwrap();
    fixture.execute("update members set source = 'self' where username = 'bob' and room = $1", room).await;
    let committed = fixture.put_all(&[naming(&put, "2", &[])]).await;
    assert!(committed.effects.hints.contains(&Hint::RoomsChanged { user: person("alice").id, room: put.room.clone() }));
    assert_eq!(fixture.members(room).await, [member("bob", "Member", "self")]);
    assert_eq!(
        said(&fixture, room).await[2..],
        [("alice".into(), "left".into(), "Owner".into()), ("bob".into(), "role".into(), "Member".into())]
    );
    // Named again, alice is another pending name, bound at the next sight.
    fixture.put(&naming(&put, "3", &[("alice", Role::Member)])).await.unwrap();
    bind(&fixture.pool, &[person("alice")]).await.unwrap();
    assert_eq!(fixture.members(room).await, [member("alice", "Member", "manifest"), member("bob", "Member", "self")]);
    assert_eq!(said(&fixture, room).await.len(), 5);
}

#[tokio::test]
async fn a_removal_by_a_moderator_holds_until_the_manifest_changes_and_a_role_is_set_again_then() {
    let fixture = Fixture::new().await;
    let put = naming(&manifest("a/b"), "1", &[("alice", Role::Member), ("bob", Role::Moderator)]);
    let room = fixture.put(&put).await.unwrap();
    bind(&fixture.pool, &[person("alice"), person("bob")]).await.unwrap();
    fixture.execute("delete from members where username = 'alice' and room = $1", room).await;
    fixture.execute("update members set role = 'Member' where username = 'bob' and room = $1", room).await;
    fixture.put(&put).await.unwrap();
    bind(&fixture.pool, &[person("alice")]).await.unwrap();
    assert_eq!(fixture.members(room).await, [member("bob", "Member", "manifest")]);

    let mut changed = put.clone();
    changed.claim.hash = "2".into();
    changed.spec.topic = "another".into();
    fixture.put(&changed).await.unwrap();
    let both = [member("alice", "Member", "manifest"), member("bob", "Moderator", "manifest")];
    assert_eq!(fixture.members(room).await, both);
    let again = [("alice".into(), "joined".into(), "Member".into()), ("bob".into(), "role".into(), "Moderator".into())];
    assert_eq!(said(&fixture, room).await[2..], again);
    // As it was when the name was bound.
    let shown = fixture.outbox(room).await.into_iter().rev().find(|body| body["user"]["username"] == "alice");
    assert_eq!(shown.unwrap()["user"]["display_name"], "ALICE");
}

#[tokio::test]
async fn a_room_that_closes_and_opens_keeps_its_members() {
    let fixture = Fixture::new().await;
    let put = naming(&manifest("a/b"), "1", &[("alice", Role::Owner)]);
    let room = fixture.put(&put).await.unwrap();
    bind(&fixture.pool, &[person("alice")]).await.unwrap();
    crate::rooms::close::close(&fixture.pool, &put.room, &put.claim.owner_uid).await.unwrap();
    fixture.put(&put).await.unwrap();
    assert_eq!(fixture.members(room).await, [member("alice", "Owner", "manifest")]);
    assert_eq!(said(&fixture, room).await.len(), 1);
}

#[tokio::test]
async fn the_same_person_is_bound_once_while_the_manifest_changes_and_others_look_too() {
    let fixture = Fixture::new().await;
    let first: Vec<_> =
        (0..50).map(|n| naming(&manifest(&format!("a/r{n}")), "1", &[("alice", Role::Member)])).collect();
    fixture.put_all(&first).await;
    let second: Vec<_> = first.iter().map(|put| naming(put, "2", &[("alice", Role::Owner)])).collect();
    let alice = [person("alice")];
    let (one, two, committed) =
        tokio::join!(bind(&fixture.pool, &alice), bind(&fixture.pool, &alice), fixture.put_all(&second));
    one.unwrap();
    two.unwrap();
    assert!(committed.outcomes.iter().all(Result::is_ok));
    assert_eq!(fixture.count("select count(*) from members where role = 'Owner'").await, 50);
    let joined = "select count(*) from outbox where event->'body'->>'change' = 'joined'";
    assert_eq!(fixture.count(joined).await, 50);
}
