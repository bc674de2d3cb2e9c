//! Names that manifests reserve.

use sqlx::PgConnection;

/// Until the end of the transaction nobody else registers or reserves these names. Always in one order, so two cannot wait for each
/// other.
pub(crate) async fn lock(connection: &mut PgConnection, usernames: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"select count(pg_advisory_xact_lock(hashtextextended('parlor name ' || name, 0))) as "locked!"
           from (select distinct name from unnest($1::text[]) as name order by name) as sorted"#,
        usernames
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Whether registering the name needs an invite for it.
pub(crate) async fn is_reserved(connection: &mut PgConnection, username: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from reserved_names where username = $1) as "reserved!""#, username)
        .fetch_one(connection)
        .await
}

/// Reserves those that nobody holds, and answers them; again is once.
pub(crate) async fn reserve(connection: &mut PgConnection, usernames: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query!(
        "insert into reserved_names (username)
         select distinct name from unnest($1::text[]) as name
         where not exists (select from users where username = name)
         on conflict (username) do nothing",
        usernames
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!(
        "select username from reserved_names
         where username = any($1) and not exists (select from users where users.username = reserved_names.username)
         order by username",
        usernames
    )
    .fetch_all(connection)
    .await
}

/// Somebody holds the name now.
pub(crate) async fn release(connection: &mut PgConnection, username: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from reserved_names where username = $1", username).execute(connection).await?;
    Ok(())
}
