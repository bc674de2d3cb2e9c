//! Against a real PostgreSQL. Which rows go is tested where the SQL is.

use super::pass;
use crate::store::append::{Segment, append};
use crate::testing::{Fixture, delivery, message};
use contract::event::Event;

#[tokio::test]
async fn a_pass_goes_on_until_a_room_holds_nothing_that_is_past_its_time() {
    let fixture = Fixture::new().await;
    let log = fixture.log("1-aaaaaa", "open").await;
    let old = |n: u64| Event { time: "2020-01-01T00:00:00.000Z".into(), ..message(&n.to_string()) };
    let deliveries = (0..25)
        .map(|offset| {
            let events: Vec<Event> = (0..100).map(old).collect();
            delivery(fixture.room.id, "1-aaaaaa", offset, &events)
        })
        .collect();
    let segment =
        Segment { log, room: fixture.room.clone(), epoch: "1-aaaaaa".parse().unwrap(), old_off: -1, deliveries };
    append(&fixture.pool, &[segment]).await.unwrap();
    sqlx::query("update logs set feed_pos = pos").execute(&fixture.pool).await.unwrap();
    let all = (0..64).collect();
    let left = async || -> i64 {
        sqlx::query_scalar("select (select count(*) from events) + (select count(*) from messages)")
            .fetch_one(&fixture.pool)
            .await
            .unwrap()
    };
    pass(&fixture.pool, &all).await.unwrap();
    assert_eq!(left().await, 5000, "without a limit everything stays");
    sqlx::query("update rooms set retention_seconds = 60").execute(&fixture.pool).await.unwrap();
    pass(&fixture.pool, &all).await.unwrap();
    assert_eq!(left().await, 0);
}
