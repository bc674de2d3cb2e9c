//! Rows of rooms that are closed to sending and of rooms that were deleted.

use contract::room::RoomName;
use sqlx::PgConnection;
use uuid::Uuid;

/// Closes a room to sending and lets go of it; `closing_key` is the key of the event that says so.
pub(crate) async fn close(connection: &mut PgConnection, room: Uuid, closing_key: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update rooms set open = false, released = true, closing_key = $2 where id = $1", room, closing_key)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether everything before the closing event is in history: it is stored, or no log is left that anything could come from.
pub(crate) async fn read_to_end(
    connection: &mut PgConnection,
    room: Uuid,
    closing_key: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from message_keys where room = $1 and sender = $2 and key = $3)
           or not exists (select 1 from logs l where l.room = $1 and (l.state = 'open'
             or (l.state = 'gone' and l.gone_at > now() - interval '10 seconds'
                 and exists (select 1 from salvages s where s.log = l.id and not s.done)))) as "read!""#,
        room,
        Uuid::nil(),
        closing_key
    )
    .fetch_one(connection)
    .await
}

/// Undeleted messages in history.
pub(crate) async fn messages(connection: &mut PgConnection, room: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from messages where room = $1 and not deleted"#, room)
        .fetch_one(connection)
        .await
}

/// Removes a room with everything that is known of it, however long that takes; its streams stay on record.
pub(crate) async fn delete(
    connection: &mut PgConnection,
    room: Uuid,
    name: &RoomName,
    owner_uid: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("set local statement_timeout = 0").execute(&mut *connection).await?;
    let streams = sqlx::query_scalar!("select stream from logs where room = $1 order by ordinal", room)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into deleted_rooms (id, namespace, name, owner_uid, streams) values ($1, $2, $3, $4, $5)",
        room,
        name.namespace(),
        name.name(),
        owner_uid,
        &streams
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from rooms where id = $1", room).execute(connection).await?;
    Ok(streams)
}

/// Streams of the room of this name that this owner deleted last.
pub(crate) async fn deleted(
    connection: &mut PgConnection,
    name: &RoomName,
    owner_uid: &str,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select streams from deleted_rooms where namespace = $1 and name = $2 and owner_uid = $3 order by deleted_at desc limit 1",
        name.namespace(),
        name.name(),
        owner_uid
    )
    .fetch_optional(connection)
    .await
}
