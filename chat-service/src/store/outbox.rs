//! Rows of the outbox: events whose state changed in this same transaction.

use crate::log::RoomKey;
use contract::event::{Body, User};
use contract::position::LogPosition;
use contract::room::RoomName;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// An event to be published until the historian has stored its key.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    /// Which room.
    pub(crate) room: Uuid,
    /// `None`: the system.
    pub(crate) sender: Option<User>,
    /// Derived from the cause, so that a repeated cause is the same event.
    pub(crate) key: Uuid,
    /// What to say.
    pub(crate) body: Body,
}

/// What `outbox.event` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Said {
    /// `None`: the system.
    pub(crate) sender: Option<User>,
    /// What to say.
    pub(crate) body: Body,
}

/// Writes a row; see [`put_all`].
pub(crate) async fn put(connection: &mut PgConnection, row: &NewRow) -> Result<(), sqlx::Error> {
    put_all(connection, std::slice::from_ref(row)).await
}

/// Writes rows in this order, each with its room's stored position of this moment; the same (room, sender, key) again changes nothing, neither
/// does one that history has already: up to the stored position the key of a row is known to be absent.
pub(crate) async fn put_all(connection: &mut PgConnection, rows: &[NewRow]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let rooms: Vec<Uuid> = rows.iter().map(|row| row.room).collect();
    let senders: Vec<Uuid> =
        rows.iter().map(|row| row.sender.as_ref().map_or(Uuid::nil(), |sender| sender.id)).collect();
    let keys: Vec<Uuid> = rows.iter().map(|row| row.key).collect();
    let said = rows.iter().map(|row| Said { sender: row.sender.clone(), body: row.body.clone() });
    let events: Vec<serde_json::Value> = said.map(|said| serde_json::json!(said)).collect();
    // A room whose first log is not open yet has nothing stored: (0, 0).
    sqlx::query!(
        "insert into outbox (room, sender, key, event, after_ordinal, after_pos)
         select n.room, n.sender, n.key, n.event, coalesce(l.ordinal, 0), coalesce(l.pos, 0)
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::jsonb[]) with ordinality as n (room, sender, key, event, nth) left join lateral
         (select ordinal, pos from logs where logs.room = n.room and state <> 'pending' order by ordinal desc limit 1) l on true
         where not exists (select 1 from message_keys k where k.room = n.room and k.sender = n.sender and k.key = n.key)
         order by n.nth on conflict do nothing",
        &rooms,
        &senders,
        &keys,
        &events
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A row that is due.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// `outbox.id`.
    pub(crate) id: i64,
    /// The event's key.
    pub(crate) key: Uuid,
    /// What to say.
    pub(crate) said: Said,
    /// Up to here its key is known to be absent.
    pub(crate) after: LogPosition,
}

/// A room's rows that are due, in order; they are this gateway's for a moment.
#[derive(Debug, Clone)]
pub(crate) struct DueRoom {
    /// Which.
    pub(crate) room: RoomKey,
    /// At least one.
    pub(crate) rows: Vec<Due>,
}

/// Rows of one room that are taken at once.
const MOST_ROWS: i64 = 200;

/// Takes the due rows of some rooms whose log is open, and pushes the time of the next try ahead: 1 to 30 s, at random. Whoever
/// holds a room's first row that was never read back holds the room: nobody takes a later one before.
pub(crate) async fn claim(pool: &PgPool, rooms: usize) -> Result<Vec<DueRoom>, sqlx::Error> {
    drop_closings(pool).await?;
    let mut transaction = pool.begin().await?;
    let heads = sqlx::query!(
        "select o.id, o.room, o.appended from outbox o
         where o.next_at <= now()
         and exists (select 1 from logs l where l.room = o.room and l.state = 'open')
         and not exists (select 1 from outbox e where e.room = o.room and e.id < o.id and not e.appended)
         order by o.id limit $1 for update of o skip locked",
        i64::try_from(rooms).unwrap_or(0)
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut ids: Vec<i64> = heads.iter().map(|head| head.id).collect();
    for head in heads.iter().filter(|head| !head.appended) {
        let followers = sqlx::query_scalar!(
            "select id from outbox where room = $1 and id > $2 and not appended order by id limit $3 for update skip locked",
            head.room,
            head.id,
            MOST_ROWS - 1
        )
        .fetch_all(&mut *transaction)
        .await?;
        ids.extend(followers);
    }
    let rows = take(&mut transaction, &ids).await?;
    transaction.commit().await?;
    Ok(by_room(rows))
}

/// A `closed` whose log is over, by it, by another one or because somebody deleted the stream, has nothing left to close.
async fn drop_closings(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from outbox o using logs l where l.room = o.room and l.ordinal = o.after_ordinal and l.state in ('gone', 'closed')
         and o.next_at <= now() and o.event->'body'->>'type' = 'closed'"
    )
    .execute(pool)
    .await?;
    Ok(())
}

struct Row {
    id: i64,
    room: Uuid,
    namespace: String,
    name: String,
    key: Uuid,
    event: sqlx::types::Json<Said>,
    after_ordinal: i32,
    after_pos: i64,
}

async fn take(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<Row>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        Row,
        r#"update outbox o set attempts = o.attempts + 1,
           next_at = now() + make_interval(secs => least(30, 2 ^ least(o.attempts, 5)) * (0.75 + random() / 2))
           from rooms r where o.id = any($1) and r.id = o.room
           returning o.id, o.room, r.namespace, r.name, o.key, o.event as "event: sqlx::types::Json<Said>",
           o.after_ordinal, o.after_pos"#,
        ids
    )
    .fetch_all(connection)
    .await
}

fn by_room(mut rows: Vec<Row>) -> Vec<DueRoom> {
    rows.sort_by_key(|row| row.id);
    let mut rooms: Vec<DueRoom> = Vec::new();
    for row in rows {
        let Ok(name) = RoomName::new(&row.namespace, &row.name) else { continue };
        let after =
            LogPosition::new(u32::try_from(row.after_ordinal).unwrap_or(0), u64::try_from(row.after_pos).unwrap_or(0));
        let due = Due { id: row.id, key: row.key, said: row.event.0, after };
        match rooms.iter_mut().find(|room| room.room.id == row.room) {
            Some(room) => room.rows.push(due),
            None => rooms.push(DueRoom { room: RoomKey { id: row.room, name }, rows: vec![due] }),
        }
    }
    rooms
}

/// These were read back from the log. They stay until the historian has them, and are published again if that takes long.
pub(crate) async fn mark_appended(pool: &PgPool, ids: &[i64]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update outbox set appended = true, next_at = greatest(next_at, now() + interval '3 seconds') where id = any($1)",
        ids
    )
    .execute(pool)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
