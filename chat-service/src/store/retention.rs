//! Removes what a room's manifest no longer wants kept. Keys stay: a retry of an old message is still a duplicate.

use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Rows that are looked at in one transaction.
const BATCH: i64 = 1000;

/// A room that keeps messages for a limited time.
#[derive(Debug, Clone)]
pub(crate) struct Limited {
    /// Which.
    pub(crate) room: Uuid,
    /// How long.
    pub(crate) seconds: i64,
}

/// A place in a room's history, with the time of what stands there.
struct Place {
    ordinal: i32,
    pos: i64,
    time: Option<String>,
}

/// Rooms with a limit whose log in use is in these partitions.
pub(crate) async fn limited(pool: &PgPool, partitions: &BTreeSet<i16>) -> Result<Vec<Limited>, sqlx::Error> {
    let partitions: Vec<i16> = partitions.iter().copied().collect();
    sqlx::query_as!(
        Limited,
        "select r.id as room, r.retention_seconds as seconds from rooms r join logs l on l.room = r.id and l.state = 'open'
         where r.retention_seconds > 0 and l.partition = any($1)",
        &partitions
    )
    .fetch_all(pool)
    .await
}

/// Removes a bounded number of the oldest events and messages that are past their time and that the feed has sent; answers how
/// many. It stops at the first that is to be kept, so that what remains is whole: a replay from there on has no hole.
pub(crate) async fn trim(pool: &PgPool, limited: &Limited) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // In the order in which `append` takes them, before any row of a message.
    sqlx::query!("select id from logs where room = $1 order by id for update", limited.room)
        .fetch_all(&mut *transaction)
        .await?;
    let until = sqlx::query_scalar!(
        r#"select to_char((now() - make_interval(secs => $1)) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "until!""#,
        std::time::Duration::from_secs(u64::try_from(limited.seconds).unwrap_or(0)).as_secs_f64()
    )
    .fetch_one(&mut *transaction)
    .await?;
    let removed = events(&mut transaction, limited.room, &until).await?
        + messages(&mut transaction, limited.room, &until).await?;
    transaction.commit().await?;
    Ok(removed)
}

/// The last of the leading places that are past their time.
fn last_past(places: &[Place], until: &str) -> Option<usize> {
    let past = places.iter().take_while(|place| place.time.as_deref().is_none_or(|time| time < until)).count();
    past.checked_sub(1)
}

async fn events(connection: &mut PgConnection, room: Uuid, until: &str) -> Result<u64, sqlx::Error> {
    let places = sqlx::query_as!(
        Place,
        "select e.ordinal, e.pos, e.event::json->>'time' as time from events e
         join logs l on l.room = e.room and l.ordinal = e.ordinal and e.pos <= l.feed_pos
         where e.room = $1 order by e.ordinal, e.pos limit $2",
        room,
        BATCH
    )
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = last_past(&places, until) else { return Ok(0) };
    let done = sqlx::query!(
        "delete from events where room = $1 and (ordinal, pos) <= ($2, $3)",
        room,
        places[last].ordinal,
        places[last].pos
    )
    .execute(&mut *connection)
    .await?;
    let trimmed: BTreeMap<i32, i64> = places[..=last].iter().map(|place| (place.ordinal, place.pos)).collect();
    for (ordinal, pos) in trimmed {
        sqlx::query!(
            "update logs set trimmed_pos = greatest(trimmed_pos, $3) where room = $1 and ordinal = $2",
            room,
            ordinal,
            pos
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(done.rows_affected())
}

async fn messages(connection: &mut PgConnection, room: Uuid, until: &str) -> Result<u64, sqlx::Error> {
    let places = sqlx::query_as!(
        Place,
        r#"select m.ordinal, m.pos, m.time as "time?" from messages m
           join logs l on l.room = m.room and l.ordinal = m.ordinal and m.pos <= l.feed_pos
           where m.room = $1 order by m.ordinal, m.pos limit $2"#,
        room,
        BATCH
    )
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = last_past(&places, until) else { return Ok(0) };
    let done = sqlx::query!(
        "delete from messages where room = $1 and (ordinal, pos) <= ($2, $3)",
        room,
        places[last].ordinal,
        places[last].pos
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests;
