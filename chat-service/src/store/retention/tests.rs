//! Against a real PostgreSQL.

use super::{Limited, limited, trim};
use crate::store::append::{Segment, Stored, append};
use crate::testing::{Fixture, delivery, event, message, person, reference};
use contract::event::{Body, Event};

const EPOCH: &str = "1-aaaaaa";

/// Long past, and of the future: tests do not wait.
const OLD: &str = "2020-01-01T00:00:00.000Z";
const NEW: &str = "2100-01-01T00:00:00.000Z";

fn at(time: &str, event: Event) -> Event {
    Event { time: time.into(), ..event }
}

async fn stored(fixture: &Fixture, old_off: i64, events: &[Event]) {
    let log: i64 = sqlx::query_scalar("select id from logs").fetch_one(&fixture.pool).await.unwrap();
    let offset = u64::try_from(old_off + 1).unwrap();
    let segment = Segment {
        log,
        room: fixture.room.clone(),
        epoch: EPOCH.parse().unwrap(),
        old_off,
        deliveries: vec![delivery(fixture.room.id, EPOCH, offset, events)],
    };
    assert_eq!(append(&fixture.pool, &[segment]).await.unwrap(), [Stored::Done]);
}

async fn count(fixture: &Fixture, table: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(&fixture.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_oldest_go_once_the_feed_has_sent_them_and_what_remains_is_whole() {
    let fixture = Fixture::new().await;
    fixture.log(EPOCH, "open").await;
    let first = message("old");
    let edit = event(
        Some(person(1)),
        uuid::Uuid::now_v7(),
        Body::Edited { message: reference(&first, EPOCH, 1024), text: "edited late".into() },
    );
    let events = [
        at(OLD, first),
        at(OLD, message("old, not sent yet")),
        at(NEW, message("new")),
        at(OLD, message("by a clock that is behind")),
    ];
    stored(&fixture, -1, &events).await;
    let room = Limited { room: fixture.room.id, seconds: 3600 };
    assert_eq!(trim(&fixture.pool, &room).await.unwrap(), 0, "nothing was sent yet");
    sqlx::query("update logs set feed_pos = 1024").execute(&fixture.pool).await.unwrap();
    assert_eq!(trim(&fixture.pool, &room).await.unwrap(), 2, "an event and its message");
    sqlx::query("update logs set feed_pos = pos").execute(&fixture.pool).await.unwrap();
    assert_eq!(trim(&fixture.pool, &room).await.unwrap(), 2);
    assert_eq!(trim(&fixture.pool, &room).await.unwrap(), 0, "what stands behind a newer one stays as long");
    assert_eq!((count(&fixture, "events").await, count(&fixture, "messages").await), (2, 2));
    assert_eq!(count(&fixture, "message_keys").await, 4, "a retry is a duplicate for ever");
    let trimmed: i64 = sqlx::query_scalar("select trimmed_pos from logs").fetch_one(&fixture.pool).await.unwrap();
    assert_eq!(trimmed, 1025);
    // An event about a message that is gone does not bring it back.
    stored(&fixture, 0, &[at(NEW, edit)]).await;
    assert_eq!((count(&fixture, "events").await, count(&fixture, "messages").await), (3, 2));
}

#[tokio::test]
async fn only_rooms_with_a_limit_are_looked_at() {
    let fixture = Fixture::new().await;
    fixture.log(EPOCH, "open").await;
    let all = (0..64).collect();
    assert!(limited(&fixture.pool, &all).await.unwrap().is_empty());
    sqlx::query("update rooms set retention_seconds = 60").execute(&fixture.pool).await.unwrap();
    assert_eq!(limited(&fixture.pool, &all).await.unwrap()[0].room, fixture.room.id);
}
