//! Replacing a log against a real PostgreSQL.

use super::*;
use crate::rooms::testing::{Fixture, manifest};

async fn room_with_log(fixture: &Fixture) -> (Uuid, Epoch) {
    let room = fixture.open_room(&manifest("a/b")).await;
    let epoch = fixture.logs(room).await[0].0.parse().unwrap();
    (room, epoch)
}

#[tokio::test]
async fn of_two_observers_one_names_the_new_log_and_the_other_uses_it() {
    let fixture = Fixture::new().await;
    let (room, first) = room_with_log(&fixture).await;
    let replaced = || replace(&fixture.pool, room, &first, true);
    let (one, two, three) = tokio::join!(replaced(), replaced(), replaced());
    let all = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(all.iter().filter(|replaced| replaced.won).count(), 1);
    assert!(all.iter().all(|replaced| replaced.newest == all[0].newest && replaced.newest.ordinal() == 2));
    let newest = all[0].newest.to_string();
    assert_eq!(fixture.logs(room).await, [(first.to_string(), "gone".into()), (newest.clone(), "pending".into())]);
    let stream = format!("parlor.log.standard.a.b.{newest}");
    let named = sqlx::query_scalar::<_, String>("select stream from logs where ordinal = 2");
    assert_eq!(named.fetch_one(&fixture.pool).await.unwrap(), stream);
}

#[tokio::test]
async fn the_new_log_is_declared_as_the_spec_says_now() {
    let fixture = Fixture::new().await;
    let (room, first) = room_with_log(&fixture).await;
    let mut put = manifest("a/b");
    put.claim.hash = "2".into();
    (put.spec.replicas, put.spec.segment_bytes) = (3, 1 << 20);
    fixture.put(&put).await.unwrap();
    replace(&fixture.pool, room, &first, false).await.unwrap();
    let view = crate::rooms::view::get(&fixture.pool, &put.room).await.unwrap().unwrap();
    assert_eq!((view.newest.replicas, view.newest.segment_bytes), (3, 1 << 20));
    let current = view.current.unwrap();
    assert_eq!((current.replicas, current.segment_bytes, current.epoch), (1, 16 << 20, first.to_string()));
}

#[tokio::test]
async fn a_log_that_is_deleted_while_its_successor_is_pending_is_not_closed_by_an_event() {
    let fixture = Fixture::new().await;
    let (room, first) = room_with_log(&fixture).await;
    let second = replace(&fixture.pool, room, &first, false).await.unwrap().newest;
    let declared = crate::rooms::confirm::Declared { room: "a/b".parse().unwrap(), epoch: second.clone() };
    crate::rooms::confirm::commit(&fixture.pool, std::slice::from_ref(&declared)).await.unwrap();
    assert_eq!(fixture.outbox(room).await.len(), 1);

    let observed = replace(&fixture.pool, room, &first, true).await.unwrap();
    assert_eq!(observed, Replaced { newest: second.clone(), won: false });
    assert_eq!(fixture.outbox(room).await.len(), 0);
    crate::rooms::confirm::commit(&fixture.pool, std::slice::from_ref(&declared)).await.unwrap();
    assert_eq!(fixture.logs(room).await, [(first.to_string(), "gone".into()), (second.to_string(), "open".into())]);
}

#[tokio::test]
async fn an_unknown_room_has_no_log() {
    let fixture = Fixture::new().await;
    let replaced = replace(&fixture.pool, Uuid::now_v7(), &"1-aaaaaa".parse().unwrap(), true).await;
    assert!(matches!(replaced, Err(ReplaceError::NotFound)));
}
