//! The fold: each message as it reads now. The rules are those of `contract::fold`; here they meet the rows.

use super::guard::signed;
use super::keys::Counted;
use super::mentions;
use contract::event::{Body, Message, User};
use contract::fold::{self, Folded, MessageKey, Reaction};
use sqlx::PgConnection;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

type Subject = (Uuid, MessageKey);

/// A message while its events are applied.
#[derive(Default)]
struct Held {
    /// As it reads now; `None`: not known (yet).
    state: Option<Folded>,
    /// Of the first event, where this call brings it: (ordinal, pos, epoch).
    born: Option<(i32, u64, String)>,
    changed: bool,
}

/// Applies events that count, in order, to the messages they are about.
pub(super) async fn fold(connection: &mut PgConnection, counted: &[Counted<'_>]) -> Result<(), sqlx::Error> {
    let mut held = load(connection, counted).await?;
    for counted in counted {
        let Some(about) = fold::subject(&counted.event) else { continue };
        let message = held.entry((counted.room.id, about)).or_default();
        let known = message.state.is_some();
        fold::apply(&mut message.state, &counted.event);
        if known {
            message.changed = true;
        } else if message.state.is_some() {
            message.born = Some((counted.ordinal(), counted.pos, counted.epoch.to_string()));
        }
    }
    let mut born: Vec<_> = Vec::new();
    let mut changed: Vec<_> = Vec::new();
    for ((room, _), message) in &held {
        match (&message.state, &message.born) {
            (Some(folded), Some(place)) => born.push((*room, folded, place)),
            (Some(folded), None) if message.changed => changed.push((*room, folded)),
            _ => {}
        }
    }
    // Neighbours in the log are neighbours in the table.
    born.sort_unstable_by_key(|(room, _, place)| (*room, place.1));
    insert(connection, &born).await?;
    update(connection, &changed).await
}

/// Messages that these events are about and that stood before them. A new key is a new message, unless somebody forged an event whose
/// key is not its message's id.
async fn load(connection: &mut PgConnection, counted: &[Counted<'_>]) -> Result<HashMap<Subject, Held>, sqlx::Error> {
    let mut wanted: BTreeSet<Subject> = BTreeSet::new();
    for counted in counted {
        let brings = matches!(&counted.event.body, Body::Message { message } if message.id == counted.event.key);
        if let Some(about) = fold::subject(&counted.event).filter(|_| !brings) {
            wanted.insert((counted.room.id, about));
        }
    }
    let mut held = HashMap::new();
    if wanted.is_empty() {
        return Ok(held);
    }
    let rooms: Vec<Uuid> = wanted.iter().map(|(room, _)| *room).collect();
    let authors: Vec<Uuid> = wanted.iter().map(|(_, about)| about.author).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|(_, about)| about.id).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select m.room, m.author, m.id, m.time, m.author_username, m.author_display_name, m.text, m.reply_to, m.reply_to_author,
           m.attachments, m.edited_at, m.deleted, m.reactions as "reactions: sqlx::types::Json<BTreeSet<Reaction>>"
           from messages m join unnest($1::uuid[], $2::uuid[], $3::uuid[]) as u (room, author, id)
           on m.room = u.room and m.author = u.author and m.id = u.id"#,
        &rooms,
        &authors,
        &ids
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let subject = (row.room, MessageKey { author: row.author, id: row.id });
        if let Entry::Vacant(place) = held.entry(subject) {
            place.insert(Held { state: Some(row.folded()), ..Held::default() });
        }
    }
    Ok(held)
}

struct Row {
    room: Uuid,
    author: Uuid,
    id: Uuid,
    time: String,
    author_username: String,
    author_display_name: String,
    text: String,
    reply_to: Option<Uuid>,
    reply_to_author: Option<Uuid>,
    attachments: Vec<Uuid>,
    edited_at: Option<String>,
    deleted: bool,
    reactions: sqlx::types::Json<BTreeSet<Reaction>>,
}

impl Row {
    fn folded(self) -> Folded {
        Folded {
            author: User { id: self.author, username: self.author_username, display_name: self.author_display_name },
            message: Message {
                id: self.id,
                text: self.text,
                reply_to: self.reply_to,
                reply_to_author: self.reply_to_author,
                attachments: self.attachments,
            },
            time: self.time.into(),
            edited_at: self.edited_at.map(Into::into),
            deleted: self.deleted,
            reactions: self.reactions.0,
        }
    }
}

/// What an event may change about a message, as columns.
#[derive(Default)]
struct Columns<'a> {
    rooms: Vec<Uuid>,
    authors: Vec<Uuid>,
    ids: Vec<Uuid>,
    texts: Vec<&'a str>,
    attachments: Vec<String>,
    mentions: Vec<String>,
    edited: Vec<Option<&'a str>>,
    deleted: Vec<bool>,
    reactions: Vec<serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, room: Uuid, folded: &'a Folded) {
        self.rooms.push(room);
        self.authors.push(folded.author.id);
        self.ids.push(folded.message.id);
        self.texts.push(&folded.message.text);
        self.attachments.push(array(&folded.message.attachments));
        self.mentions.push(array(&mentions::of(&folded.message.text)));
        self.edited.push(folded.edited_at.as_deref());
        self.deleted.push(folded.deleted);
        self.reactions.push(serde_json::json!(folded.reactions));
    }
}

/// PostgreSQL's text form of an array, because `unnest` cannot carry arrays of different lengths. Ids and usernames hold nothing
/// to be escaped.
fn array<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("{{{}}}", items.join(","))
}

async fn insert(
    connection: &mut PgConnection,
    born: &[(Uuid, &Folded, &(i32, u64, String))],
) -> Result<(), sqlx::Error> {
    if born.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for (room, folded, _) in born {
        columns.push(*room, folded);
    }
    let ordinals: Vec<i32> = born.iter().map(|(_, _, place)| place.0).collect();
    let positions: Vec<i64> = born.iter().map(|(_, _, place)| signed(place.1)).collect();
    let epochs: Vec<&str> = born.iter().map(|(_, _, place)| place.2.as_str()).collect();
    let times: Vec<&str> = born.iter().map(|(_, folded, _)| &*folded.time).collect();
    let usernames: Vec<&str> = born.iter().map(|(_, folded, _)| folded.author.username.as_str()).collect();
    let display_names: Vec<&str> = born.iter().map(|(_, folded, _)| folded.author.display_name.as_str()).collect();
    let reply_to: Vec<Option<Uuid>> = born.iter().map(|(_, folded, _)| folded.message.reply_to).collect();
    let reply_to_author: Vec<Option<Uuid>> = born.iter().map(|(_, folded, _)| folded.message.reply_to_author).collect();
    sqlx::query!(
        "insert into messages (room, author, id, ordinal, pos, epoch, time, author_username, author_display_name, text,
         reply_to, reply_to_author, attachments, mentions, edited_at, deleted, reactions)
         select u.room, u.author, u.id, u.ordinal, u.pos, u.epoch, u.time, u.username, u.display_name, u.text,
         u.reply_to, u.reply_to_author, u.attachments::uuid[], u.mentions::text[], u.edited_at, u.deleted, u.reactions
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::text[],
         $9::text[], $10::text[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::bool[], $17::jsonb[])
         as u (room, author, id, ordinal, pos, epoch, time, username, display_name, text, reply_to, reply_to_author,
         attachments, mentions, edited_at, deleted, reactions)
         on conflict do nothing",
        &columns.rooms,
        &columns.authors,
        &columns.ids,
        &ordinals,
        &positions,
        &epochs as &[&str],
        &times as &[&str],
        &usernames as &[&str],
        &display_names as &[&str],
        &columns.texts as &[&str],
        &reply_to as &[Option<Uuid>],
        &reply_to_author as &[Option<Uuid>],
        &columns.attachments,
        &columns.mentions,
        &columns.edited as &[Option<&str>],
        &columns.deleted,
        &columns.reactions
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Not an upsert: what retention removed meanwhile stays removed.
async fn update(connection: &mut PgConnection, changed: &[(Uuid, &Folded)]) -> Result<(), sqlx::Error> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for (room, folded) in changed {
        columns.push(*room, folded);
    }
    sqlx::query!(
        "update messages m set text = u.text, attachments = u.attachments::uuid[], mentions = u.mentions::text[],
         edited_at = u.edited_at, deleted = u.deleted, reactions = u.reactions
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::jsonb[])
         as u (room, author, id, text, attachments, mentions, edited_at, deleted, reactions)
         where m.room = u.room and m.author = u.author and m.id = u.id",
        &columns.rooms,
        &columns.authors,
        &columns.ids,
        &columns.texts as &[&str],
        &columns.attachments,
        &columns.mentions,
        &columns.edited as &[Option<&str>],
        &columns.deleted,
        &columns.reactions
    )
    .execute(connection)
    .await?;
    Ok(())
}
