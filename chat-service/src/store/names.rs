//! Members that manifests name: their names, the users they are bound to, and the rows of members that follow from them.

use crate::rooms::membership::{Dropped, Present, Step, Wanted};
use crate::rooms::spec::NamedMember;
use contract::event::{MemberChange, Role, User};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Makes these the names of these rooms: names that are not among them go. Answers who was bound to those.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    rooms: &[Uuid],
    members: &[(Uuid, &NamedMember)],
) -> Result<Vec<Dropped>, sqlx::Error> {
    let of: Vec<Uuid> = members.iter().map(|(room, _)| *room).collect();
    let names: Vec<String> = members.iter().map(|(_, member)| member.username.clone()).collect();
    let roles: Vec<String> = members.iter().map(|(_, member)| member.role.as_str().to_owned()).collect();
    let dropped = sqlx::query!(
        "delete from room_member_names n where n.room = any($1) and not exists
         (select 1 from unnest($2::uuid[], $3::text[]) as w (room, username) where w.room = n.room and w.username = n.username)
         returning n.room, n.user_id",
        rooms,
        &of,
        &names
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into room_member_names (room, username, role) select * from unnest($1::uuid[], $2::text[], $3::text[])
         on conflict (room, username) do update set role = excluded.role",
        &of,
        &names,
        &roles
    )
    .execute(connection)
    .await?;
    let bound = dropped.into_iter().filter_map(|row| Some(Dropped { room: row.room, user: row.user_id? }));
    Ok(bound.collect())
}

struct BoundRow {
    room: Uuid,
    user_id: Uuid,
    username: String,
    display_name: String,
    role: String,
}

impl BoundRow {
    fn wanted(self) -> Option<Wanted> {
        let user = User { id: self.user_id, username: self.username, display_name: self.display_name };
        Some(Wanted { room: self.room, user, role: Role::parse(&self.role)? })
    }
}

/// Names of these rooms that are bound to somebody.
pub(crate) async fn bound(connection: &mut PgConnection, rooms: &[Uuid]) -> Result<Vec<Wanted>, sqlx::Error> {
    let rows = sqlx::query_as!(
        BoundRow,
        r#"select room, user_id as "user_id!", username, coalesce(display_name, username) as "display_name!", role
         from room_member_names where room = any($1) and user_id is not null order by room, username"#,
        rooms
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(BoundRow::wanted).collect())
}

/// A room with pending names, locked.
#[derive(Debug)]
pub(crate) struct PendingRoom {
    /// Its id.
    pub(crate) id: Uuid,
    /// Who put its manifest.
    pub(crate) owner_uid: String,
    /// Their generation.
    pub(crate) generation: i64,
    /// Hash of the spec.
    pub(crate) hash: String,
    /// Key of the event that closed it, while it is closed.
    pub(crate) closing_key: Option<Uuid>,
}

/// Locks at most `limit` rooms in which one of these names is pending, in the order in which all who administer rooms lock them.
pub(crate) async fn lock_rooms(
    connection: &mut PgConnection,
    names: &[String],
    limit: i64,
) -> Result<Vec<PendingRoom>, sqlx::Error> {
    sqlx::query_as!(
        PendingRoom,
        "select id, owner_uid, owner_generation as generation, spec_hash as hash, closing_key from rooms
         where id in (select room from room_member_names where username = any($1) and user_id is null)
         order by namespace, name limit $2 for no key update",
        names,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Binds pending names of these rooms to the people who hold them; answers what was bound.
pub(crate) async fn bind(
    connection: &mut PgConnection,
    rooms: &[Uuid],
    holders: &[User],
) -> Result<Vec<Wanted>, sqlx::Error> {
    let ids: Vec<Uuid> = holders.iter().map(|user| user.id).collect();
    let names: Vec<String> = holders.iter().map(|user| user.username.clone()).collect();
    let shown: Vec<String> = holders.iter().map(|user| user.display_name.clone()).collect();
    let rows = sqlx::query_as!(
        BoundRow,
        r#"update room_member_names n set user_id = h.id, display_name = h.display_name
         from unnest($2::uuid[], $3::text[], $4::text[]) as h (id, username, display_name)
         where n.room = any($1) and n.username = h.username and n.user_id is null
         returning n.room, n.user_id as "user_id!", n.username, n.display_name as "display_name!", n.role"#,
        rooms,
        &ids,
        &names,
        &shown
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(BoundRow::wanted).collect())
}

/// Names that are pending in any room, after this one, in order.
pub(crate) async fn pending(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct username from room_member_names where user_id is null and username > $1 order by username limit $2",
        after,
        limit
    )
    .fetch_all(pool)
    .await
}

/// Names that are pending in these rooms, in order.
pub(crate) async fn pending_of(pool: &PgPool, rooms: &[Uuid]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct username from room_member_names where user_id is null and room = any($1) order by username",
        rooms
    )
    .fetch_all(pool)
    .await
}

/// Whether this name is pending anywhere.
pub(crate) async fn is_pending(pool: &PgPool, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from room_member_names where username = $1 and user_id is null) as "pending!""#,
        name
    )
    .fetch_one(pool)
    .await
}

/// Rows of members of these people in these rooms, locked.
pub(crate) async fn present(connection: &mut PgConnection, whom: &[(Uuid, Uuid)]) -> Result<Vec<Present>, sqlx::Error> {
    let (rooms, users): (Vec<Uuid>, Vec<Uuid>) = whom.iter().copied().unzip();
    let rows = sqlx::query!(
        "select room, user_id, username, display_name, role, source from members
         where (room, user_id) in (select * from unnest($1::uuid[], $2::uuid[])) order by room, user_id for update",
        &rooms,
        &users
    )
    .fetch_all(connection)
    .await?;
    let present = rows.into_iter().filter_map(|row| {
        let user = User { id: row.user_id, username: row.username, display_name: row.display_name };
        Some(Present { room: row.room, user, role: Role::parse(&row.role)?, by_self: row.source == "self" })
    });
    Ok(present.collect())
}

/// Writes these changes into the rows of members.
pub(crate) async fn apply(connection: &mut PgConnection, steps: &[Step]) -> Result<(), sqlx::Error> {
    let (gone, here): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.change == MemberChange::Left);
    let rooms: Vec<Uuid> = here.iter().map(|step| step.room).collect();
    let users: Vec<Uuid> = here.iter().map(|step| step.user.id).collect();
    let names: Vec<String> = here.iter().map(|step| step.user.username.clone()).collect();
    let shown: Vec<String> = here.iter().map(|step| step.user.display_name.clone()).collect();
    let roles: Vec<String> = here.iter().map(|step| step.role.as_str().to_owned()).collect();
    // Who is there already keeps how they came: whoever joined by themselves stays when the manifest drops them.
    sqlx::query!(
        "insert into members (room, user_id, username, display_name, role, source)
         select room, user_id, username, display_name, role, 'manifest'
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) as s (room, user_id, username, display_name, role)
         on conflict (room, user_id) do update set role = excluded.role",
        &rooms,
        &users,
        &names,
        &shown,
        &roles
    )
    .execute(&mut *connection)
    .await?;
    let rooms: Vec<Uuid> = gone.iter().map(|step| step.room).collect();
    let users: Vec<Uuid> = gone.iter().map(|step| step.user.id).collect();
    sqlx::query!(
        "delete from members where (room, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &rooms,
        &users
    )
    .execute(connection)
    .await?;
    Ok(())
}
