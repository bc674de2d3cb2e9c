//! The table of accounts.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// An account, without its password.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    pub(crate) created_at: OffsetDateTime,
}

/// An account and the hash of its password, which nobody logs.
pub(crate) struct Credentials {
    pub(crate) user: User,
    pub(crate) password_hash: String,
}

/// A new account; `None`: somebody has the name.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    id: Uuid,
    username: &str,
    display_name: &str,
    email: Option<&str>,
    password_hash: &str,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "insert into users (id, username, display_name, email, password_hash) values ($1, $2, $3, $4, $5)
         on conflict (username) do nothing
         returning id, username, display_name, email, created_at",
        id,
        username,
        display_name,
        email,
        password_hash
    )
    .fetch_optional(connection)
    .await
}

/// What a login is checked against.
pub(crate) async fn credentials(pool: &PgPool, username: &str) -> sqlx::Result<Option<Credentials>> {
    let found = sqlx::query!(
        "select id, username, display_name, email, created_at, password_hash from users where username = $1",
        username
    )
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|row| Credentials {
        user: User {
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            email: row.email,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
    }))
}

/// The account with this id.
pub(crate) async fn by_id(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(User, "select id, username, display_name, email, created_at from users where id = $1", id)
        .fetch_optional(pool)
        .await
}

/// Whether somebody has the name.
pub(crate) async fn is_taken(pool: &PgPool, username: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from users where username = $1) as "taken!""#, username)
        .fetch_one(pool)
        .await
}

/// The accounts with these ids or names, each once.
pub(crate) async fn find(connection: &mut PgConnection, ids: &[Uuid], usernames: &[String]) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        "select id, username, display_name, email, created_at from users
         where id = any($1) or username = any($2)
         order by username",
        ids,
        usernames
    )
    .fetch_all(connection)
    .await
}

/// Changes the name if one is given, and the address if `change_email` says so.
pub(crate) async fn update(
    pool: &PgPool,
    id: Uuid,
    display_name: Option<&str>,
    change_email: bool,
    email: Option<&str>,
) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "update users set display_name = coalesce($2, display_name), email = case when $3 then $4 else email end
         where id = $1
         returning id, username, display_name, email, created_at",
        id,
        display_name,
        change_email,
        email
    )
    .fetch_optional(pool)
    .await
}

/// Sets another password, if `old_hash` is still the one; `false`: it is not.
pub(crate) async fn set_password(
    connection: &mut PgConnection,
    id: Uuid,
    old_hash: &str,
    new_hash: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update users set password_hash = $3 where id = $1 and password_hash = $2",
        id,
        old_hash,
        new_hash
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}
