//! Invites: each is good for one registration. Only digests are stored.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A new invite; without a name it is for any that is free and not reserved.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    token_hash: &[u8],
    username: Option<&str>,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into invites (token_hash, username, expires_at) values ($1, $2, $3)",
        token_hash,
        username,
        expires_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the invite is good for this name now. One without a name is not good for a reserved one.
pub(crate) async fn is_good(
    connection: &mut PgConnection,
    token_hash: &[u8],
    username: &str,
    reserved: bool,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from invites
               where token_hash = $1 and used_by is null and expires_at > now()
                 and (username = $2 or (username is null and not $3))
           ) as "good!""#,
        token_hash,
        username,
        reserved
    )
    .fetch_one(connection)
    .await
}

/// Uses an invite that is good for this name; `false`: it is not (any more).
pub(crate) async fn consume(
    connection: &mut PgConnection,
    token_hash: &[u8],
    username: &str,
    reserved: bool,
    user: Uuid,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update invites set used_by = $4
         where token_hash = $1 and used_by is null and expires_at > now()
           and (username = $2 or (username is null and not $3))",
        token_hash,
        username,
        reserved,
        user
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}
