//! Up to where people have read.

use contract::position::LogPosition;
use sqlx::PgPool;
use uuid::Uuid;

/// Moves a person's pointers forward; a lower one changes nothing. Pointers of rooms that are gone are passed by.
pub(crate) async fn advance(pool: &PgPool, user: Uuid, pointers: &[(Uuid, LogPosition)]) -> Result<(), sqlx::Error> {
    let rooms: Vec<Uuid> = pointers.iter().map(|(room, _)| *room).collect();
    let ordinals: Vec<i32> = pointers.iter().map(|(_, at)| i32::try_from(at.ordinal).unwrap_or(i32::MAX)).collect();
    let positions: Vec<i64> = pointers.iter().map(|(_, at)| i64::try_from(at.pos).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        "insert into read_pointers (user_id, room, ordinal, pos)
         select $1, new.room, new.ordinal, new.pos
         from unnest($2::uuid[], $3::integer[], $4::bigint[]) as new (room, ordinal, pos)
         join rooms on rooms.id = new.room
         on conflict (user_id, room) do update set ordinal = excluded.ordinal, pos = excluded.pos
         where (excluded.ordinal, excluded.pos) > (read_pointers.ordinal, read_pointers.pos)",
        user,
        &rooms,
        &ordinals,
        &positions
    )
    .execute(pool)
    .await?;
    Ok(())
}
