//! The transaction: lock, write, move the offsets, switch logs that are over, note losses and what went into quarantine.

use super::guard::{self, Current, signed};
use super::read::Bad;
use super::write::{self, Work};
use super::{Losses, Outcome, Segment, Stored, is_refusal};
use contract::position::pos;
use sqlx::{Acquire, PgConnection, PgPool};
use uuid::Uuid;

/// All segments at once; fails as a whole.
pub(super) async fn run(pool: &PgPool, segments: &[Segment], losses: &Losses) -> Result<Vec<Outcome>, sqlx::Error> {
    let mut outcomes = vec![Outcome::OVERTAKEN; segments.len()];
    let mut transaction = pool.begin().await?;
    let current = guard::lock(&mut transaction, segments).await?;
    if current.is_empty() {
        return Ok(outcomes);
    }
    let mut works: Vec<Work<'_>> = current.into_iter().map(Work::new).collect();
    write::write(&mut transaction, &mut works).await?;
    finish(&mut transaction, &works, losses).await?;
    transaction.commit().await?;
    for work in &works {
        outcomes[work.current.index] = outcome(work);
    }
    Ok(outcomes)
}

/// A segment of one message that was refused as a whole: each event by itself, those that are refused into quarantine.
pub(super) async fn one_by_one(pool: &PgPool, segment: &Segment, losses: &Losses) -> Result<Outcome, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let segments = std::slice::from_ref(segment);
    let Some(current) = guard::lock(&mut transaction, segments).await?.into_iter().next() else {
        return Ok(Outcome::OVERTAKEN);
    };
    let mut work = Work::new(current);
    for (at, event) in std::mem::take(&mut work.events) {
        let body = event.encode().unwrap_or_default();
        let before = work.standing.clone();
        work.events.push((at, event));
        let mut savepoint = transaction.begin().await?;
        match write::write(&mut savepoint, std::slice::from_mut(&mut work)).await {
            Ok(()) => savepoint.commit().await?,
            Err(error) if is_refusal(&error) => {
                savepoint.rollback().await?;
                work.standing = before;
                let offset = contract::position::offset(at).unwrap_or(0);
                work.bad.push(Bad { offset, error: error.to_string(), body });
            }
            Err(error) => return Err(error),
        }
    }
    finish(&mut transaction, std::slice::from_ref(&work), losses).await?;
    transaction.commit().await?;
    Ok(outcome(&work))
}

fn outcome(work: &Work<'_>) -> Outcome {
    count_quarantined(&work.bad);
    Outcome {
        stored: Stored::Done,
        events: work.stored,
        closed: work.standing.closed.is_some(),
        last_time: work.last_time.clone(),
    }
}

fn count_quarantined(bad: &[Bad]) {
    if !bad.is_empty() {
        metrics::counter!("parlor_historian_quarantined_total").increment(u64::try_from(bad.len()).unwrap_or(0));
    }
}

async fn finish(connection: &mut PgConnection, works: &[Work<'_>], losses: &Losses) -> Result<(), sqlx::Error> {
    advance(connection, works).await?;
    for work in works {
        if let Some(next) = &work.standing.closed {
            open_next(connection, work, next.as_str()).await?;
        }
        if let Some(reason) = losses.get(&work.current.segment.log) {
            note_gap(connection, &work.current, reason).await?;
        }
        quarantine(connection, work).await?;
    }
    Ok(())
}

/// The guard once more, in the statement that moves it: nothing of this transaction stands unless every row still stood where its
/// segment begins.
async fn advance(connection: &mut PgConnection, works: &[Work<'_>]) -> Result<(), sqlx::Error> {
    let last = |work: &Work<'_>| work.current.segment.deliveries.last().cloned();
    let ids: Vec<i64> = works.iter().map(|work| work.current.segment.log).collect();
    let old: Vec<i64> = works.iter().map(|work| work.current.segment.old_off).collect();
    let new: Vec<i64> = works.iter().filter_map(last).map(|delivery| signed(delivery.offset)).collect();
    let anchors: Vec<i64> = works.iter().filter_map(last).map(|delivery| i64::from(delivery.crc())).collect();
    let positions: Vec<i64> = works.iter().map(|work| signed(work.end)).collect();
    let sending: Vec<bool> = works.iter().map(|work| work.standing.sending).collect();
    let closed: Vec<bool> = works.iter().map(|work| work.standing.closed.is_some()).collect();
    let rows = sqlx::query!(
        "update logs l set off = u.new, anchor_crc = u.anchor, pos = u.pos, sending = u.sending,
         state = case when u.closed then 'closed' else l.state end
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::bool[])
         as u (id, old, new, anchor, pos, sending, closed)
         where l.id = u.id and l.off = u.old returning l.id",
        &ids,
        &old,
        &new,
        &anchors,
        &positions,
        &sending,
        &closed
    )
    .fetch_all(connection)
    .await?;
    if rows.len() == works.len() {
        Ok(())
    } else {
        Err(sqlx::Error::Protocol("failed to move the offsets of logs that this transaction has locked".into()))
    }
}

/// In the transaction that stores `closed` the log that it names takes over, open to sending or not as this one stood.
async fn open_next(connection: &mut PgConnection, work: &Work<'_>, next: &str) -> Result<(), sqlx::Error> {
    let room = &work.current.segment.room;
    let opened = sqlx::query!(
        "update logs set state = 'open', sending = $3 where room = $1 and epoch = $2 and state = 'pending'",
        room.id,
        next,
        work.standing.sending
    )
    .execute(connection)
    .await?;
    if opened.rows_affected() == 0 {
        tracing::error!(room = %room.name, next, "a log was closed in favour of one that no pending row names");
    }
    Ok(())
}

/// Everything between the stored offset and the segment's first message.
async fn note_gap(connection: &mut PgConnection, current: &Current<'_>, reason: &str) -> Result<(), sqlx::Error> {
    let segment = current.segment;
    let Some(first) = segment.deliveries.first() else { return Ok(()) };
    let from = pos(u64::try_from(segment.old_off + 1).unwrap_or(0), 0);
    insert_gap(
        connection,
        segment.room.id,
        i32::try_from(segment.epoch.ordinal()).unwrap_or(i32::MAX),
        (signed(from), signed(pos(first.offset, 0)) - 1),
        reason,
    )
    .await?;
    metrics::counter!("parlor_log_gaps_total").increment(1);
    tracing::error!(room = %segment.room.name, epoch = %segment.epoch, from, until = first.offset, reason, "events of a room are lost");
    Ok(())
}

async fn insert_gap(
    connection: &mut PgConnection,
    room: Uuid,
    ordinal: i32,
    (from, to): (i64, i64),
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into gaps (room, ordinal, from_pos, to_pos, reason) values ($1, $2, $3, $4, $5) on conflict do nothing",
        room,
        ordinal,
        from,
        to,
        reason
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn quarantine(connection: &mut PgConnection, work: &Work<'_>) -> Result<(), sqlx::Error> {
    for bad in &work.bad {
        sqlx::query!(
            "insert into quarantine (room, stream, off, error, body) values ($1, $2, $3, $4, $5)",
            work.current.segment.room.id,
            work.current.stream,
            signed(bad.offset),
            bad.error,
            bad.body
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
