//! Puts against a real PostgreSQL.

use super::*;
use crate::rooms::testing::{Fixture, manifest};
use std::time::{Duration, Instant};

fn many(count: usize) -> Vec<Put> {
    (0..count).map(|n| manifest(&format!("team-{}/room-{n:04}", n % 7))).collect()
}

#[tokio::test]
async fn a_new_room_has_a_pending_log_under_the_names_of_the_contract_and_is_named_once() {
    let fixture = Fixture::new().await;
    let room = fixture.put(&manifest("team-a/general")).await.unwrap();
    assert_eq!(fixture.put(&manifest("team-a/general")).await, Ok(room));
    let view = view::get(&fixture.pool, &"team-a/general".parse().unwrap()).await.unwrap().unwrap();
    let epoch = view.newest.epoch.clone();
    assert!(epoch.starts_with("1-"));
    assert_eq!(view.newest.stream, format!("parlor.log.standard.team-a.general.{epoch}"));
    assert_eq!(view.newest.routing_key, format!("room.team-a.general.{epoch}"));
    assert_eq!((view.newest.state.as_str(), view.newest.replicas, view.newest.segment_bytes), ("pending", 1, 16 << 20));
    assert_eq!((view.id, view.current, view.generation, view.open), (room, None, 1, true));
    assert_eq!(fixture.outbox(room).await, [] as [serde_json::Value; 0]);
}

#[tokio::test]
async fn a_change_that_people_see_is_said_in_the_log_once_and_another_is_not() {
    let fixture = Fixture::new().await;
    let room = fixture.put(&manifest("a/b")).await.unwrap();
    let mut next = manifest("a/b");
    next.claim.hash = "2".into();
    next.spec.topic = "Less".into();
    assert_eq!(fixture.put(&next).await, Ok(room));
    assert_eq!(fixture.put(&next).await, Ok(room));
    next.claim.hash = "3".into();
    next.spec.limits.burst = 99;
    let committed = fixture.put_all(&[next]).await;
    assert!(!committed.effects.events);
    assert_eq!(committed.effects.hints, [Hint::RoomChanged { room }]);
    let said = fixture.outbox(room).await;
    assert_eq!(said.len(), 1);
    assert_eq!((&said[0]["type"], &said[0]["topic"], &said[0]["open"]), (&"room".into(), &"Less".into(), &true.into()));
    let generation = "select owner_generation from rooms";
    assert_eq!((fixture.count(generation).await, fixture.count("select burst::bigint from rooms").await), (3, 99));
}

#[tokio::test]
async fn a_closed_room_opens_again_when_its_manifest_is_back_however_often() {
    let fixture = Fixture::new().await;
    let put = manifest("a/b");
    let room = fixture.put(&put).await.unwrap();
    for _ in 0..2 {
        crate::rooms::close::close(&fixture.pool, &put.room, &put.claim.owner_uid).await.unwrap();
        assert_eq!(fixture.put(&put).await, Ok(room));
    }
    let open: Vec<_> = fixture.outbox(room).await.into_iter().map(|body| body["open"] == true).collect();
    assert_eq!(open, [false, true, false, true]);
    assert_eq!(
        fixture.count("select count(*) from rooms where open and not released and closing_key is null").await,
        1
    );
}

#[tokio::test]
async fn a_refused_room_never_stops_the_others_and_the_order_is_kept() {
    let fixture = Fixture::new().await;
    fixture.put(&manifest("a/b")).await.unwrap();
    let mut stranger = manifest("a/b");
    stranger.claim.owner_uid = "other".into();
    let mut class = manifest("a/b");
    class.claim.hash = "2".into();
    class.spec.class = "big".into();
    // PostgreSQL itself refuses this one: the edge would not have let it through.
    let mut poison = manifest("a/poison");
    poison.spec.topic = "\0".into();
    let set = [manifest("z/z"), stranger, poison, class, manifest("a/c")];
    let outcomes = fixture.put_all(&set).await.outcomes;
    assert!(outcomes[0].is_ok() && outcomes[4].is_ok());
    assert_eq!(outcomes[1], Err(Refusal::NameConflict { holder: "a/b.yaml".into() }));
    assert_eq!(outcomes[2], Err(Refusal::Failed));
    assert!(matches!(outcomes[3], Err(Refusal::ClassImmutable { .. })));
    assert_eq!(fixture.count("select count(*) from rooms").await, 3);
}

#[tokio::test]
async fn a_room_that_is_named_twice_in_a_set_is_put_twice_in_order() {
    let fixture = Fixture::new().await;
    let mut second = manifest("a/b");
    second.claim.hash = "2".into();
    let mut third = manifest("a/b");
    third.claim.owner_uid = "other".into();
    let outcomes = fixture.put_all(&[manifest("a/b"), second, third]).await.outcomes;
    assert!(outcomes[0].is_ok() && outcomes[0] == outcomes[1]);
    assert_eq!(outcomes[2], Err(Refusal::NameConflict { holder: "a/b.yaml".into() }));
    assert_eq!(fixture.count("select owner_generation from rooms where spec_hash = '2'").await, 2);
}

#[tokio::test]
async fn of_two_owners_at_once_each_room_goes_to_one() {
    let fixture = Fixture::new().await;
    let ours = many(100);
    let mut theirs = many(100);
    theirs.reverse();
    for put in &mut theirs {
        put.claim.owner_uid = "other".into();
    }
    let (ours, theirs) = tokio::join!(fixture.put_all(&ours), fixture.put_all(&theirs));
    for (one, other) in ours.outcomes.iter().zip(theirs.outcomes.iter().rev()) {
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let lost = one.as_ref().err().or(other.as_ref().err()).unwrap();
        assert!(matches!(lost, Refusal::NameConflict { .. }), "{lost:?}");
    }
    assert_eq!(fixture.count("select count(*) from logs").await, 100);
}

#[tokio::test]
async fn the_same_set_at_once_is_committed_once() {
    let fixture = Fixture::new().await;
    let mut set = many(100);
    let (one, two) = tokio::join!(fixture.put_all(&set), fixture.put_all(&set));
    assert_eq!(one.outcomes, two.outcomes);
    assert!(one.outcomes.iter().all(Result::is_ok));
    for put in &mut set {
        put.claim.hash = "2".into();
        put.spec.topic = "new".into();
    }
    let mut reversed = set.clone();
    reversed.reverse();
    let (one, two, three) = tokio::join!(fixture.put_all(&set), fixture.put_all(&reversed), fixture.put_all(&set));
    assert!([&one, &two, &three].iter().all(|committed| committed.outcomes.iter().all(Result::is_ok)));
    assert_eq!(fixture.count("select count(*) from outbox").await, 100);
    assert_eq!(fixture.count("select count(*) from rooms where owner_generation = 2").await, 100);
}

#[tokio::test]
async fn a_thousand_rooms_take_well_under_two_seconds() {
    let fixture = Fixture::new().await;
    let set = many(1000);
    let start = Instant::now();
    for part in set.chunks(250) {
        let outcomes = viewed(&fixture.pool, fixture.put_all(part).await.outcomes).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let taken = start.elapsed();
    println!("1,000 rooms put in {taken:?}");
    // The machine may be busy with other tests; on its own this is a fraction of it.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    assert_eq!(fixture.count("select count(*) from logs where state = 'pending'").await, 1000);
}

#[tokio::test]
async fn somebody_who_holds_a_room_for_long_does_not_stop_the_others() {
    let fixture = Fixture::new().await;
    let mut set = many(64);
    fixture.put_all(&set).await;
    let mut holder = fixture.pool.begin().await.unwrap();
    sqlx::query("select 1 from rooms where name = 'room-0041' for no key update").execute(&mut *holder).await.unwrap();
    for put in &mut set {
        put.claim.hash = "2".into();
    }
    let start = Instant::now();
    let outcomes = fixture.put_all(&set).await.outcomes;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let busy: Vec<_> = (0..64).filter(|n| outcomes[*n] == Err(Refusal::Busy)).collect();
    assert_eq!(busy, [41]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 63);
    holder.rollback().await.unwrap();
    assert!(fixture.put_all(&set).await.outcomes.iter().all(Result::is_ok));
}

#[test]
fn rounds_name_no_room_twice_and_keep_its_order() {
    let puts: Vec<Put> = ["a/b", "a/c", "a/b", "a/b", "a/c"].into_iter().map(manifest).collect();
    assert_eq!(rounds(&puts), [vec![0, 1], vec![2, 4], vec![3]]);
}
