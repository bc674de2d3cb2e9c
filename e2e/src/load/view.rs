//! A room as the history shows it and as the database has it.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use sqlx::{PgPool, Row};

use super::named;
use crate::address::Address;
use crate::checker::{Place, Seen, View};
use crate::person::Person;

/// One page that must know `reached`, which somebody heard of elsewhere.
pub async fn reaches(http: &Client, at: &Address, person: &Person, room: &str, reached: Place) -> Result<()> {
    let page = page(http, at, person, room, &[("limit", "1".into()), ("min_pos", reached.1.to_string())]).await?;
    let last = page["messages"].get(0).and_then(Seen::of).context("a page without a message")?;
    ensure!(last.place >= reached, "the page ends at {:?}, not at {reached:?}", last.place);
    Ok(())
}

/// All pages of the history, in order. A gap in it is an error.
pub async fn history(http: &Client, at: &Address, person: &Person, room: &str) -> Result<View> {
    let (view, gaps) = history_with_gaps(http, at, person, room).await?;
    ensure!(gaps.is_empty(), "gaps in the history: {gaps:?}");
    Ok(view)
}

/// All pages of the history, newest first as a client pages, put into order; and the gaps that they tell of.
pub async fn history_with_gaps(http: &Client, at: &Address, person: &Person, room: &str) -> Result<(View, Vec<Value>)> {
    let mut view = named(format!("history at {}", at.http));
    let mut gaps = Vec::new();
    let mut query = vec![("limit", "100".to_owned())];
    loop {
        let page = page(http, at, person, room, &query).await?;
        let entries = page["messages"].as_array().context("a page without messages")?;
        let seen: Vec<Seen> = entries.iter().filter_map(Seen::of).collect();
        gaps.splice(0..0, entries.iter().filter_map(|entry| entry.get("gap").cloned()));
        let others = entries.iter().filter(|entry| entry.get("gap").is_none()).count();
        ensure!(seen.len() == others, "an entry of a page is neither a message nor a gap: {page}");
        view.messages.splice(0..0, seen);
        if page["has_more"] != true {
            return Ok((view, gaps));
        }
        let first = entries.first().context("an empty page with more before it")?;
        let (epoch, pos) = match first.get("gap") {
            Some(gap) => (gap["epoch"].as_str(), gap["from"].as_u64()),
            None => (first["epoch"].as_str(), first["pos"].as_u64()),
        };
        let (epoch, pos) = epoch.zip(pos).context("an entry without a position")?;
        query = vec![("limit", "100".to_owned()), ("before", pos.to_string()), ("epoch", epoch.to_owned())];
    }
}

async fn page(
    http: &Client,
    at: &Address,
    person: &Person,
    room: &str,
    query: &[(&'static str, String)],
) -> Result<Value> {
    let url = format!("{}/v1/rooms/{room}/messages", at.http);
    let answer = http.get(&url).query(query).bearer_auth(&person.access_token).send().await?;
    ensure!(answer.status() == 200, "history: {} {}", answer.status(), answer.text().await?);
    answer.json().await.context("a page is no JSON")
}

/// Up to where the historian has stored the room.
pub async fn last_stored(pool: &PgPool, room: &str) -> Result<Place> {
    let row = sqlx::query(
        "select l.ordinal, l.pos from logs l join rooms r on r.id = l.room
         where r.namespace || '/' || r.name = $1 and l.pos > 0 order by l.ordinal desc limit 1",
    )
    .bind(room)
    .fetch_optional(pool)
    .await
    .context("failed to read the stored position")?;
    row.map_or(Ok((0, 0)), |row| place(row.try_get("ordinal")?, row.try_get("pos")?))
}

const MESSAGES: &str = "select m.ordinal, m.pos, m.author::text as author, m.id::text as id, m.text
    from messages m join rooms r on r.id = m.room
    where r.namespace || '/' || r.name = $1 order by m.ordinal, m.pos";

/// The messages as the historian folded them.
pub async fn messages(pool: &PgPool, room: &str) -> Result<View> {
    let mut view = named("table messages");
    let rows = sqlx::query(MESSAGES).bind(room).fetch_all(pool).await.context("failed to read the messages")?;
    for row in rows {
        view.messages.push(Seen {
            place: place(row.try_get("ordinal")?, row.try_get("pos")?)?,
            author: row.try_get("author")?,
            id: row.try_get("id")?,
            text: row.try_get("text")?,
        });
    }
    Ok(view)
}

const EVENTS: &str = "select e.ordinal, e.pos, e.event
    from events e join rooms r on r.id = e.room
    where r.namespace || '/' || r.name = $1 and e.type = 'message' order by e.ordinal, e.pos";

/// The messages as the historian keeps them for exact replay.
pub async fn events(pool: &PgPool, room: &str) -> Result<View> {
    let mut view = named("table events");
    let rows = sqlx::query(EVENTS).bind(room).fetch_all(pool).await.context("failed to read the events")?;
    for row in rows {
        let event: Value = serde_json::from_str(row.try_get("event")?).context("a stored event is no JSON")?;
        let seen = Seen::of(&event).with_context(|| format!("a stored event is no message: {event}"))?;
        ensure!(
            seen.place == place(row.try_get("ordinal")?, row.try_get("pos")?)?,
            "a row names another place: {event}"
        );
        view.messages.push(seen);
    }
    Ok(view)
}

fn place(ordinal: i32, pos: i64) -> Result<Place> {
    Ok((u32::try_from(ordinal)?, u64::try_from(pos)?))
}
