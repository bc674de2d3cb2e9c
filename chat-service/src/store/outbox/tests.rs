//! Against a real PostgreSQL. Who publishes what, and in which order.

use super::{DueRoom, NewRow, claim, mark_appended, put};
use crate::log::RoomKey;
use crate::testing::{Fixture, person};
use contract::event::{Body, MemberChange, Role};
use contract::position::LogPosition;
use uuid::Uuid;

const EPOCH: &str = "1-aaaaaa";

async fn write(fixture: &Fixture, room: &RoomKey, body: Body) -> Uuid {
    let key = Uuid::now_v7();
    let mut connection = fixture.pool.acquire().await.unwrap();
    put(&mut connection, &NewRow { room: room.id, sender: None, key, body }).await.unwrap();
    key
}

fn joined(number: u8) -> Body {
    Body::Member { user: person(number), change: MemberChange::Joined, role: Role::Member }
}

async fn due_now(fixture: &Fixture) {
    sqlx::query("update outbox set next_at = now()").execute(&fixture.pool).await.unwrap();
}

fn keys(due: &[DueRoom]) -> Vec<Uuid> {
    due.iter().flat_map(|room| room.rows.iter().map(|row| row.key)).collect()
}

#[tokio::test]
async fn rows_wait_for_an_open_log_and_come_in_order() {
    let fixture = Fixture::new().await;
    let (first, second) =
        (write(&fixture, &fixture.room, joined(1)).await, write(&fixture, &fixture.room, joined(2)).await);
    assert!(claim(&fixture.pool, 10).await.unwrap().is_empty());
    fixture.log(EPOCH, "open").await;
    let due = claim(&fixture.pool, 10).await.unwrap();
    assert_eq!(keys(&due), [first, second]);
    assert_eq!(due[0].room, fixture.room);
    assert_eq!(due[0].rows[0].after, LogPosition::START);
    assert!(claim(&fixture.pool, 10).await.unwrap().is_empty(), "they are somebody's for a moment");
}

#[tokio::test]
async fn nobody_takes_a_row_before_the_rooms_earlier_ones_were_read_back() {
    let fixture = Fixture::new().await;
    fixture.log(EPOCH, "open").await;
    let other = crate::testing::room(&fixture.pool, "other").await;
    crate::testing::log(&fixture.pool, &other, "1-bbbbbb", "open").await;
    let first = write(&fixture, &fixture.room, joined(1)).await;
    let taken = claim(&fixture.pool, 10).await.unwrap();
    assert_eq!(keys(&taken), [first]);
    let second = write(&fixture, &fixture.room, joined(2)).await;
    let elsewhere = write(&fixture, &other, joined(2)).await;
    assert_eq!(keys(&claim(&fixture.pool, 10).await.unwrap()), [elsewhere], "another room is not held up");
    mark_appended(&fixture.pool, &[taken[0].rows[0].id]).await.unwrap();
    assert_eq!(keys(&claim(&fixture.pool, 10).await.unwrap()), [second]);
    // Nothing was stored meanwhile: all of them again, in order.
    due_now(&fixture).await;
    let again = claim(&fixture.pool, 10).await.unwrap();
    assert_eq!(keys(&again[..1]), [first, second]);
    let attempts: Vec<i32> =
        sqlx::query_scalar("select attempts from outbox order by id").fetch_all(&fixture.pool).await.unwrap();
    assert_eq!(attempts, [2, 2, 2]);
}

#[tokio::test]
async fn two_gateways_never_take_the_same_row() {
    let fixture = Fixture::new().await;
    let mut rooms = Vec::new();
    for n in 0..20 {
        let room = crate::testing::room(&fixture.pool, &format!("room-{n}")).await;
        crate::testing::log(&fixture.pool, &room, EPOCH, "open").await;
        for member in 0..3 {
            write(&fixture, &room, joined(member)).await;
        }
        rooms.push(room);
    }
    let claims = (0..4).map(|_| {
        tokio::spawn({
            let pool = fixture.pool.clone();
            async move { claim(&pool, 100).await.unwrap() }
        })
    });
    let mut taken = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        let due = claim.await.unwrap();
        assert!(due.iter().all(|room| room.rows.len() == 3), "a room's rows go together");
        taken.extend(keys(&due));
    }
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 60);
}

#[tokio::test]
async fn the_next_try_lies_one_to_thirty_seconds_ahead() {
    let fixture = Fixture::new().await;
    fixture.log(EPOCH, "open").await;
    write(&fixture, &fixture.room, joined(1)).await;
    for attempt in 0..8_i32 {
        due_now(&fixture).await;
        assert_eq!(claim(&fixture.pool, 1).await.unwrap().len(), 1);
        let ahead: f64 = sqlx::query_scalar("select extract(epoch from next_at - now())::float8 from outbox")
            .fetch_one(&fixture.pool)
            .await
            .unwrap();
        let middle = 2_f64.powi(attempt.min(5)).min(30.0);
        assert!(ahead > middle * 0.75 - 0.5 && ahead < middle * 1.25 + 0.1, "{ahead} at attempt {attempt}");
    }
}

#[tokio::test]
async fn a_closing_goes_when_its_log_is_over_without_it() {
    let fixture = Fixture::new().await;
    let log = fixture.log(EPOCH, "open").await;
    let closing = write(&fixture, &fixture.room, Body::Closed { next_epoch: "2-bbbbbb".parse().unwrap() }).await;
    assert_eq!(keys(&claim(&fixture.pool, 10).await.unwrap()), [closing]);
    let member = write(&fixture, &fixture.room, joined(1)).await;
    sqlx::query("update logs set state = 'gone' where id = $1").bind(log).execute(&fixture.pool).await.unwrap();
    fixture.log("2-bbbbbb", "open").await;
    due_now(&fixture).await;
    let due = claim(&fixture.pool, 10).await.unwrap();
    assert_eq!(keys(&due), [member]);
    assert_eq!(due[0].rows[0].after, LogPosition::new(1, 0), "stored position when it was written");
}
