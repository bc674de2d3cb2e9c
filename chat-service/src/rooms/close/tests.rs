//! Closing a room against a real PostgreSQL.

use super::*;
use crate::rooms::testing::{Fixture, manifest};

async fn closed(fixture: &Fixture) -> Closed {
    close(&fixture.pool, &"a/b".parse().unwrap(), "a/b.yaml").await.unwrap().0
}

#[tokio::test]
async fn a_room_is_read_to_its_end_once_the_closing_event_is_stored() {
    let fixture = Fixture::new().await;
    let room = fixture.open_room(&manifest("a/b")).await;
    fixture
        .execute(
            "insert into messages (room, author, id, ordinal, pos, epoch, time, author_username, author_display_name, text, deleted)
             select $1, gen_random_uuid(), gen_random_uuid(), 1, n * 1024, '1-aaaaaa', '', 'a', 'A', '', n = 1 from generate_series(1, 3) n",
            room,
        )
        .await;
    let name = "a/b".parse().unwrap();
    let (first, effects) = close(&fixture.pool, &name, "a/b.yaml").await.unwrap();
    assert_eq!(first, Closed { read_to_end: false, messages: 2 });
    assert_eq!(effects, Effects { events: true, hints: vec![Hint::RoomChanged { room }] });
    let (again, effects) = close(&fixture.pool, &name, "a/b.yaml").await.unwrap();
    assert_eq!((again, effects), (first, Effects::default()));
    let said = fixture.outbox(room).await;
    assert_eq!((said.len(), &said[0]["open"]), (1, &false.into()));
    fixture
        .execute(
            "insert into message_keys (room, sender, key, ordinal, pos, time, hash)
             select id, '00000000-0000-0000-0000-000000000000', closing_key, 1, 4096, '', '' from rooms where id = $1",
            room,
        )
        .await;
    assert_eq!(closed(&fixture).await, Closed { read_to_end: true, messages: 2 });
    assert_eq!(fixture.count("select count(*) from rooms where not open and released").await, 1);
}

#[tokio::test]
async fn a_room_without_a_log_in_use_has_nothing_left_to_read() {
    let fixture = Fixture::new().await;
    let room = fixture.put(&manifest("a/b")).await.unwrap();
    assert!(closed(&fixture).await.read_to_end);
    fixture.execute("update logs set state = 'gone', gone_at = now() where room = $1", room).await;
    fixture.execute("insert into salvages (log, gateway) select id, 'g' from logs where room = $1", room).await;
    assert!(!closed(&fixture).await.read_to_end);
    fixture.execute("update logs set gone_at = now() - interval '11 seconds' where room = $1", room).await;
    assert!(closed(&fixture).await.read_to_end);
}

#[tokio::test]
async fn only_who_holds_a_room_closes_it() {
    let fixture = Fixture::new().await;
    fixture.put(&manifest("a/b")).await.unwrap();
    let other = close(&fixture.pool, &"a/b".parse().unwrap(), "other").await.unwrap_err();
    assert!(matches!(other, AdministerError::Refused(Refusal::NameConflict { .. })));
    let nowhere = close(&fixture.pool, &"a/c".parse().unwrap(), "other").await.unwrap_err();
    assert!(matches!(nowhere, AdministerError::Refused(Refusal::NotFound)));
}
