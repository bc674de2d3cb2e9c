//! Deleting a room against a real PostgreSQL.

use super::*;
use crate::rooms::close::close;
use crate::rooms::testing::{Fixture, manifest};

async fn deleted(fixture: &Fixture) -> Result<Deleted, Refusal> {
    delete(&fixture.pool, &"a/b".parse().unwrap(), "a/b.yaml").await.map_err(|error| match error {
        AdministerError::Refused(refusal) => refusal,
        AdministerError::Database(error) => panic!("{error}"),
    })
}

async fn room(fixture: &Fixture, policy: DeletionPolicy) -> Uuid {
    let mut put = manifest("a/b");
    put.spec.deletion_policy = policy;
    fixture.open_room(&put).await
}

async fn close_it(fixture: &Fixture) {
    close(&fixture.pool, &"a/b".parse().unwrap(), "a/b.yaml").await.unwrap();
}

const STORE_CLOSING: &str = "insert into message_keys (room, sender, key, ordinal, pos, time, hash)
    select id, '00000000-0000-0000-0000-000000000000', closing_key, 1, 4096, '', '' from rooms where id = $1";
const MESSAGE: &str =
    "insert into messages (room, author, id, ordinal, pos, epoch, time, author_username, author_display_name, text)
    values ($1, gen_random_uuid(), gen_random_uuid(), 1, 1024, '1-aaaaaa', '', 'a', 'A', '')";

#[tokio::test]
async fn delete_removes_everything_and_answers_the_same_streams_again() {
    let fixture = Fixture::new().await;
    let id = room(&fixture, DeletionPolicy::Delete).await;
    fixture.execute(MESSAGE, id).await;
    let epoch = fixture.logs(id).await[0].0.clone();
    let streams = vec![format!("parlor.log.standard.a.b.{epoch}")];
    assert_eq!(deleted(&fixture).await, Ok(Deleted { room: Some(id), streams: streams.clone() }));
    assert_eq!(deleted(&fixture).await, Ok(Deleted { room: None, streams: streams.clone() }));
    let rest = "select (select count(*) from rooms) + (select count(*) from logs) + (select count(*) from messages)";
    assert_eq!(fixture.count(rest).await, 0);

    // Another owner has the name meanwhile: the first still hears of its streams, and takes nothing from the second.
    let mut other = manifest("a/b");
    other.claim.owner_uid = "other".into();
    let second = fixture.put(&other).await.unwrap();
    assert_ne!(second, id);
    assert_eq!(deleted(&fixture).await, Ok(Deleted { room: None, streams }));
    assert_eq!(fixture.count("select count(*) from rooms").await, 1);
}

#[tokio::test]
async fn a_room_with_a_message_is_not_empty_and_one_whose_log_is_unread_is_not_known_to_be() {
    let fixture = Fixture::new().await;
    let id = room(&fixture, DeletionPolicy::DeleteIfEmpty).await;
    assert_eq!(deleted(&fixture).await, Err(Refusal::NotClosed));
    close_it(&fixture).await;
    assert_eq!(deleted(&fixture).await, Err(Refusal::NotReadToEnd));
    fixture.execute(STORE_CLOSING, id).await;
    fixture.execute(MESSAGE, id).await;
    assert_eq!(deleted(&fixture).await, Err(Refusal::NotEmpty { messages: 1 }));
    fixture.execute("update messages set deleted = true where room = $1", id).await;
    assert_eq!(deleted(&fixture).await.unwrap().room, Some(id));
}

#[tokio::test]
async fn a_retained_room_goes_only_after_it_was_closed_and_released() {
    let fixture = Fixture::new().await;
    let id = room(&fixture, DeletionPolicy::Retain).await;
    fixture.execute(MESSAGE, id).await;
    assert_eq!(deleted(&fixture).await, Err(Refusal::NotClosed));
    close_it(&fixture).await;
    assert_eq!(deleted(&fixture).await.unwrap().room, Some(id));
}

#[tokio::test]
async fn a_room_that_never_was_is_not_found_and_anothers_is_not_mine() {
    let fixture = Fixture::new().await;
    assert_eq!(deleted(&fixture).await, Err(Refusal::NotFound));
    let mut other = manifest("a/b");
    other.claim.owner_uid = "other".into();
    fixture.put(&other).await.unwrap();
    assert_eq!(deleted(&fixture).await, Err(Refusal::NameConflict { holder: "other".into() }));
}

#[tokio::test]
async fn a_deletion_and_the_historian_do_not_wait_for_each_other() {
    let fixture = Fixture::new().await;
    let id = room(&fixture, DeletionPolicy::Delete).await;
    // As the historian does: the log's row first, then rows that refer to the room.
    let mut historian = fixture.pool.begin().await.unwrap();
    sqlx::query("select id from logs where room = $1 for update").bind(id).execute(&mut *historian).await.unwrap();
    let deletion = deleted(&fixture);
    let storing = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        sqlx::query(MESSAGE).bind(id).execute(&mut *historian).await.unwrap();
        historian.commit().await.unwrap();
    };
    let (deletion, ()) = tokio::join!(deletion, storing);
    assert_eq!(deletion.unwrap().room, Some(id));
}
