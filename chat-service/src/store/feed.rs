//! The feed's cursor over the stored events of each log.

use contract::room::RoomName;
use sqlx::PgPool;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A log with something to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// Whose.
    pub(crate) room: Uuid,
    /// Its address.
    pub(crate) name: RoomName,
    /// Number of the log.
    pub(crate) ordinal: i32,
    /// Sent up to here.
    pub(crate) sent: i64,
    /// Stored up to here.
    pub(crate) stored: i64,
    /// An earlier log of the room has something to be sent first.
    pub(crate) waits: bool,
}

/// A stored event.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Position in its log.
    pub(crate) pos: i64,
    /// `type`.
    pub(crate) kind: String,
    /// EVENT as JSON.
    pub(crate) event: String,
}

/// Logs of these partitions of which not all is sent.
pub(crate) async fn behind(pool: &PgPool, partitions: &BTreeSet<i16>) -> Result<Vec<i64>, sqlx::Error> {
    let partitions: Vec<i16> = partitions.iter().copied().collect();
    sqlx::query_scalar!("select id from logs where partition = any($1) and pos > feed_pos", &partitions)
        .fetch_all(pool)
        .await
}

/// Where the feed of a log stands; `None` where there is no such log any longer.
pub(crate) async fn turn(pool: &PgPool, log: i64) -> Result<Option<Turn>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select l.room, r.namespace, r.name, l.ordinal, l.feed_pos, l.pos, exists
           (select 1 from logs e where e.room = l.room and e.ordinal < l.ordinal and e.pos > e.feed_pos) as "waits!"
           from logs l join rooms r on r.id = l.room where l.id = $1"#,
        log
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| {
        let name = RoomName::new(&row.namespace, &row.name).ok()?;
        Some(Turn { room: row.room, name, ordinal: row.ordinal, sent: row.feed_pos, stored: row.pos, waits: row.waits })
    }))
}

/// The next events to be sent, in order.
pub(crate) async fn page(pool: &PgPool, turn: &Turn, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select pos, type as kind, event from events where room = $1 and ordinal = $2 and pos > $3 and pos <= $4
         order by pos limit $5",
        turn.room,
        turn.ordinal,
        turn.sent,
        turn.stored,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Moves the cursor; false: somebody else did.
pub(crate) async fn advance(pool: &PgPool, log: i64, from: i64, to: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("update logs set feed_pos = $3 where id = $1 and feed_pos = $2", log, from, to)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}
