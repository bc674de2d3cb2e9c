//! Which gateways are alive: each hands over what it holds of a log that somebody deleted.

use sqlx::PgPool;

/// Says that this gateway lives, for the next ten seconds.
pub(crate) async fn beat(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into gateways (name, until) values ($1, now() + interval '10 seconds')
         on conflict (name) do update set until = excluded.until",
        name
    )
    .execute(pool)
    .await?;
    // Those of pods that are long gone.
    sqlx::query!(
        "delete from gateways where name in
         (select name from gateways where until < now() - interval '1 hour' for update skip locked)"
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Says that it stops.
pub(crate) async fn leave(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from gateways where name = $1", name).execute(pool).await?;
    Ok(())
}
