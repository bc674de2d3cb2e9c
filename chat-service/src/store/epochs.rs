//! Rows of logs as they are named, opened, replaced and found to be gone.

use sqlx::PgConnection;
use uuid::Uuid;

/// A log that is named and not yet declared.
#[derive(Debug, Clone)]
pub(crate) struct NewLog {
    /// Whose.
    pub(crate) room: Uuid,
    /// Number of its epoch.
    pub(crate) ordinal: i32,
    /// Its epoch.
    pub(crate) epoch: String,
    /// Its stream.
    pub(crate) stream: String,
    /// Its key in `parlor.rooms`.
    pub(crate) routing_key: String,
}

/// Writes pending logs, with class, replicas and segment size of their room's spec as it is now.
pub(crate) async fn insert(connection: &mut PgConnection, logs: &[NewLog]) -> Result<(), sqlx::Error> {
    let rooms: Vec<Uuid> = logs.iter().map(|log| log.room).collect();
    let ordinals: Vec<i32> = logs.iter().map(|log| log.ordinal).collect();
    let texts = |text: fn(&NewLog) -> &String| logs.iter().map(|log| text(log).clone()).collect::<Vec<String>>();
    sqlx::query!(
        "insert into logs (room, ordinal, epoch, stream, routing_key, class, replicas, segment_bytes, state)
         select n.room, n.ordinal, n.epoch, n.stream, n.routing_key, r.class, (r.spec->>'replicas')::integer, (r.spec->>'segment_bytes')::bigint, 'pending'
         from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[]) as n (room, ordinal, epoch, stream, routing_key)
         join rooms r on r.id = n.room",
        &rooms,
        &ordinals,
        &texts(|log| &log.epoch),
        &texts(|log| &log.stream),
        &texts(|log| &log.routing_key)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A log of a room that is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogState {
    /// `logs.id`.
    pub(crate) id: i64,
    /// Whose.
    pub(crate) room: Uuid,
    /// Number of its epoch.
    pub(crate) ordinal: i32,
    /// Its epoch.
    pub(crate) epoch: String,
    /// `pending`, `open`, `closed` or `gone`.
    pub(crate) state: String,
    /// Something of it is stored.
    pub(crate) stored: bool,
    /// Position of its last stored event.
    pub(crate) pos: i64,
    /// Whether it stood open to sending there.
    pub(crate) sending: bool,
    /// Whether gateways are handing over what they hold of it.
    pub(crate) salvage: Salvage,
}

/// What gateways hold of a deleted log and history does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Salvage {
    /// Nothing (any more).
    Over,
    /// They may still hand it over.
    Running,
    /// They did not in time.
    Abandoned,
}

/// All logs of these rooms, in order; locked, in the order in which the historian locks them.
pub(crate) async fn lock(connection: &mut PgConnection, rooms: &[Uuid]) -> Result<Vec<LogState>, sqlx::Error> {
    sqlx::query!("select id from logs where room = any($1) order by id for update", rooms)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query_as!(
        LogState,
        r#"select l.id, l.room, l.ordinal, l.epoch, l.state, l.off >= 0 as "stored!", l.pos, l.sending,
           case when l.state <> 'gone' or not w.undone then 'over' when l.gone_at > now() - interval '10 seconds' then 'running'
           else 'abandoned' end as "salvage!: Salvage"
         from logs l, lateral (select exists (select 1 from salvages s where s.log = l.id and not s.done) as undone) w
         where l.room = any($1) order by l.room, l.ordinal"#,
        rooms
    )
    .fetch_all(connection)
    .await
}

/// Opens pending logs, each as open to sending as said.
pub(crate) async fn open(connection: &mut PgConnection, logs: &[(i64, bool)]) -> Result<(), sqlx::Error> {
    let (ids, sending): (Vec<i64>, Vec<bool>) = logs.iter().copied().unzip();
    sqlx::query!(
        "update logs l set state = 'open', sending = o.sending from unnest($1::bigint[], $2::boolean[]) as o (id, sending)
         where l.id = o.id and l.state = 'pending'",
        &ids,
        &sending
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Nobody hands over anything of these deleted logs any more: their rows of `salvages` go, and what is lost of each, from there to
/// the log's end, which nobody knows, is written down.
pub(crate) async fn give_up(connection: &mut PgConnection, logs: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into gaps (room, ordinal, from_pos, to_pos, reason)
         select room, ordinal, pos + 1, 9007199254740991, 'log_deleted' from logs where id = any($1) on conflict do nothing",
        logs
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from salvages where log = any($1) and not done", logs).execute(connection).await?;
    Ok(())
}

/// The stream was deleted by somebody: from now on gateways that live have 10 s to hand over what they hold of it.
pub(crate) async fn mark_gone(connection: &mut PgConnection, log: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("update logs set state = 'gone', gone_at = now() where id = $1", log)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into salvages (log, gateway) select $1, name from gateways where until > now() on conflict do nothing",
        log
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A pending log that never came into use goes: nothing is in it, and no other log of the room is to be taken for over because of it.
pub(crate) async fn forget_pending(connection: &mut PgConnection, log: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from logs where id = $1 and state = 'pending'", log).execute(connection).await?;
    Ok(())
}

/// Takes back an event that was to be published and that nobody needs any more.
pub(crate) async fn take_back(connection: &mut PgConnection, room: Uuid, key: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from outbox where room = $1 and sender = $2 and key = $3", room, Uuid::nil(), key)
        .execute(connection)
        .await?;
    Ok(())
}

/// Members of these rooms that manifests name.
pub(crate) async fn manifest_members(
    connection: &mut PgConnection,
    rooms: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!("select room, user_id from members where room = any($1) and source = 'manifest'", rooms)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.room, row.user_id)).collect())
}
