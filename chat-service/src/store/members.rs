//! Who is in which room.

use contract::event::{Role, User};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// What decides whether one more fits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// False: closed.
    pub(crate) open: bool,
    /// Most members.
    pub(crate) max_members: i64,
}

/// Locks the room against other changes of its members; `None` if it is gone. What only refers to the room goes on.
pub(crate) async fn lock_room(connection: &mut PgConnection, room: Uuid) -> Result<Option<Capacity>, sqlx::Error> {
    let row = sqlx::query!("select open, max_members from rooms where id = $1 for no key update", room)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| Capacity { open: row.open, max_members: i64::from(row.max_members) }))
}

/// How many members the room has.
pub(crate) async fn count(connection: &mut PgConnection, room: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from members where room = $1"#, room).fetch_one(connection).await
}

/// Somebody who joins by themselves; a manifest that named them no longer decides. False: they are in already.
pub(crate) async fn claim(connection: &mut PgConnection, room: Uuid, user: Uuid) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!("update members set source = 'self' where room = $1 and user_id = $2", room, user)
        .execute(connection)
        .await?;
    Ok(found.rows_affected() > 0)
}

/// Adds somebody who joins by themselves.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    room: Uuid,
    user: &User,
    role: Role,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into members (room, user_id, username, display_name, role, source) values ($1, $2, $3, $4, $5, 'self')",
        room,
        user.id,
        user.username,
        user.display_name,
        role.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes somebody; the role they had, `None` if they were not in.
pub(crate) async fn remove(connection: &mut PgConnection, room: Uuid, user: Uuid) -> Result<Option<Role>, sqlx::Error> {
    let role = sqlx::query_scalar!("delete from members where room = $1 and user_id = $2 returning role", room, user)
        .fetch_optional(connection)
        .await?;
    Ok(role.as_deref().and_then(Role::parse))
}

/// A member in the list of a room.
#[derive(Debug, Clone)]
pub(crate) struct MemberRow {
    /// Whose.
    pub(crate) user_id: Uuid,
    /// As called then.
    pub(crate) username: String,
    /// As called then.
    pub(crate) display_name: String,
    /// What they may do.
    pub(crate) role: String,
    /// Since when.
    pub(crate) joined_at: OffsetDateTime,
}

/// Members by username, those after `after`.
pub(crate) async fn page(pool: &PgPool, room: Uuid, after: &str, limit: i64) -> Result<Vec<MemberRow>, sqlx::Error> {
    sqlx::query_as!(
        MemberRow,
        r#"select user_id, username, display_name, role, joined_at from members
           where room = $1 and username collate "C" > $2 order by username collate "C" limit $3"#,
        room,
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Those of these (room, person) pairs that are members.
pub(crate) async fn of_pairs(pool: &PgPool, rooms: &[Uuid], users: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select room, user_id from members where (room, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        rooms,
        users
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.room, row.user_id)).collect())
}
