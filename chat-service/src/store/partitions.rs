//! Which historian reads which share of the logs. Leases spread the load; the guard of `store::append` is what makes rows right.

use crate::log::RoomKey;
use crate::store::logs::{Kept, LogRow};
use contract::room::RoomName;
use rand::seq::IteratorRandom as _;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// How many there are.
pub(crate) const COUNT: usize = 64;
/// How long a lease lasts; it is renewed about three times as often.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// Renews this historian's leases, gives up or takes partitions until it holds its fair share among the living, and answers what it holds.
pub(crate) async fn renew(pool: &PgPool, name: &str) -> Result<BTreeSet<i16>, sqlx::Error> {
    // The dead are of no interest for long; a row that its owner renews right now is left alone.
    sqlx::query!(
        "delete from historians where name in
         (select name from historians where until < now() - interval '1 minute' for update skip locked)"
    )
    .execute(pool)
    .await?;
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "insert into historians (name, until) values ($1, now() + make_interval(secs => $2))
         on conflict (name) do update set until = excluded.until",
        name,
        LEASE.as_secs_f64()
    )
    .execute(&mut *transaction)
    .await?;
    let living = sqlx::query_scalar!(r#"select count(*) as "count!" from historians where until > now()"#)
        .fetch_one(&mut *transaction)
        .await?;
    let mut held: BTreeSet<i16> = sqlx::query_scalar!(
        "update partitions set until = now() + make_interval(secs => $2) where owner = $1 returning partition",
        name,
        LEASE.as_secs_f64()
    )
    .fetch_all(&mut *transaction)
    .await?
    .into_iter()
    .collect();
    let share = COUNT.div_ceil(usize::try_from(living).unwrap_or(1).max(1));
    if held.len() > share {
        // At random: logs that were made one after the other lie in partitions side by side.
        let surplus = held.iter().copied().sample(&mut rand::rng(), held.len() - share);
        give_up(&mut transaction, name, &surplus).await?;
        held.retain(|partition| !surplus.contains(partition));
    } else if held.len() < share {
        held.extend(take(&mut transaction, name, share - held.len()).await?);
    }
    transaction.commit().await?;
    Ok(held)
}

async fn give_up(connection: &mut PgConnection, name: &str, partitions: &[i16]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update partitions set owner = null, until = '-infinity' where owner = $1 and partition = any($2)",
        name,
        partitions
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Free ones and those whose owner is dead.
async fn take(connection: &mut PgConnection, name: &str, count: usize) -> Result<Vec<i16>, sqlx::Error> {
    sqlx::query_scalar!(
        "update partitions set owner = $1, until = now() + make_interval(secs => $2) where partition in
         (select partition from partitions where until < now() order by random() limit $3 for update skip locked)
         returning partition",
        name,
        LEASE.as_secs_f64(),
        i64::try_from(count).unwrap_or(0)
    )
    .fetch_all(connection)
    .await
}

/// Gives everything back, so that the others need not wait for the leases to end.
pub(crate) async fn release(pool: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update partitions set owner = null, until = '-infinity' where owner = $1", name)
        .execute(pool)
        .await?;
    sqlx::query!("delete from historians where name = $1", name).execute(pool).await?;
    Ok(())
}

/// Ids of the logs in these partitions that have something to be read.
pub(crate) async fn open_logs(pool: &PgPool, partitions: &BTreeSet<i16>) -> Result<Vec<i64>, sqlx::Error> {
    let partitions: Vec<i16> = partitions.iter().copied().collect();
    sqlx::query_scalar!("select id from logs where state = 'open' and partition = any($1)", &partitions)
        .fetch_all(pool)
        .await
}

/// These logs, those of them that are open.
pub(crate) async fn open_rows(pool: &PgPool, ids: &[i64]) -> Result<Vec<LogRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select l.id, l.room, r.namespace, r.name, l.epoch, l.stream, l.routing_key, l.off, l.anchor_crc, l.pos, l.sending, l.state,
             l.segment_bytes, (r.spec->>'log_bytes')::bigint as log_bytes, (r.spec->>'log_seconds')::bigint as log_seconds
         from logs l join rooms r on r.id = l.room where l.id = any($1) and l.state = 'open'",
        ids
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().filter_map(Row::log).collect())
}

struct Row {
    id: i64,
    room: Uuid,
    namespace: String,
    name: String,
    epoch: String,
    stream: String,
    routing_key: String,
    off: i64,
    anchor_crc: Option<i64>,
    pos: i64,
    sending: bool,
    state: String,
    segment_bytes: i64,
    log_bytes: Option<i64>,
    log_seconds: Option<i64>,
}

impl Row {
    /// `None` for names that nobody can have written; the log is then nobody's to read.
    fn log(self) -> Option<LogRow> {
        Some(LogRow {
            id: self.id,
            room: RoomKey { id: self.room, name: RoomName::new(&self.namespace, &self.name).ok()? },
            epoch: self.epoch.parse().ok()?,
            stream: self.stream,
            routing_key: self.routing_key,
            off: self.off,
            anchor: self.anchor_crc.and_then(|crc| u32::try_from(crc).ok()),
            pos: u64::try_from(self.pos).ok()?,
            sending: self.sending,
            state: self.state,
            kept: Kept::of(self.log_bytes, self.log_seconds, self.segment_bytes),
        })
    }
}

#[cfg(test)]
mod tests;
