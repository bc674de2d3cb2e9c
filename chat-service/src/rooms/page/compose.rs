//! Makes a page of stored messages, events beyond them, and losses. Pure.

use super::Snapshot;
use super::overlay::Overlay;
use super::window::Bound;
use crate::rooms::members::Person;
use crate::store::messages::{GapRow, MessageRow};
use contract::event::{Body, Message, User};
use contract::fold::{self, Folded, MessageKey, Reaction};
use contract::position::LogPosition;
use contract::room::RoomName;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// One page, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Messages and losses.
    pub(crate) messages: Vec<Entry>,
    /// More follow in the direction of paging.
    pub(crate) has_more: bool,
    /// The current log.
    pub(crate) epoch: String,
    /// The page reflects every event of the current log up to here.
    pub(crate) pos: u64,
}

/// A message or a loss.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// A message as it reads now.
    Message(Box<PageMessage>),
    /// Events that nobody has any more.
    Gap {
        /// Which.
        gap: Gap,
    },
}

/// A message's event, with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PageMessage {
    #[schema(value_type = String)]
    room: RoomName,
    epoch: String,
    pos: u64,
    #[schema(example = "message")]
    r#type: &'static str,
    #[schema(value_type = String)]
    time: Arc<str>,
    sender: Person,
    message: PageText,
    #[schema(value_type = Option<String>)]
    edited_at: Option<Arc<str>>,
    deleted: bool,
    reactions: Vec<Reacted>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PageText {
    id: Uuid,
    /// Missing where the message is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    reply_to: Option<Uuid>,
    reply_to_author: Option<Uuid>,
    attachments: Vec<Uuid>,
}

/// How many reacted with one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Reacted {
    emoji: String,
    count: usize,
    /// The reader is one of them.
    me: bool,
}

/// Both positions included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Gap {
    epoch: String,
    from: u64,
    to: u64,
}

/// A message on its way into the page.
struct Item {
    at: LogPosition,
    epoch: String,
    folded: Option<Folded>,
}

/// Puts a page together.
pub(super) fn compose(room: &RoomName, reader: Uuid, limit: usize, snapshot: Snapshot, overlay: Overlay) -> Page {
    let Snapshot { bound, rows, gaps, .. } = snapshot;
    let Overlay { epoch, pos, events } = overlay;
    let mut items: Vec<Item> = rows.into_iter().map(stored).collect();
    let mut index: HashMap<MessageKey, usize> =
        items.iter().enumerate().filter_map(|(place, item)| Some((key(item.folded.as_ref()?), place))).collect();
    for (at, event) in &events {
        let Some(subject) = fold::subject(event) else { continue };
        if let Some(place) = index.get(&subject) {
            fold::apply(&mut items[*place].folded, event);
        } else if matches!(event.body, Body::Message { .. }) && bound.holds(*at) {
            let mut item = Item { at: *at, epoch: epoch.to_string(), folded: None };
            fold::apply(&mut item.folded, event);
            index.insert(subject, items.len());
            items.push(item);
        }
    }
    let has_more = items.len() > limit;
    if has_more {
        match bound {
            Bound::Before(_) => drop(items.drain(..items.len() - limit)),
            Bound::After(_) => items.truncate(limit),
        }
    }
    let gaps = gaps_between(gaps, bound, has_more.then_some(&items));
    let mut entries: Vec<(LogPosition, Entry)> = items
        .into_iter()
        .filter_map(|item| Some((item.at, message(room, reader, item.at, item.epoch, item.folded?))))
        .collect();
    entries.extend(gaps);
    entries.sort_by_key(|(at, _)| *at);
    let messages = entries.into_iter().map(|(_, entry)| entry).collect();
    Page { messages, has_more, epoch: epoch.to_string(), pos }
}

impl Bound {
    fn holds(self, at: LogPosition) -> bool {
        match self {
            Self::Before(bound) => at < bound,
            Self::After(bound) => at > bound,
        }
    }
}

/// The losses of the part of history that this page covers: each stands on exactly one page.
fn gaps_between(gaps: Vec<GapRow>, bound: Bound, cut: Option<&Vec<Item>>) -> Vec<(LogPosition, Entry)> {
    let first = cut.and_then(|items| items.first()).map(|item| item.at);
    let last = cut.and_then(|items| items.last()).map(|item| item.at);
    let covers = |from: LogPosition, to: LogPosition| match bound {
        Bound::Before(bound) => from < bound && first.is_none_or(|first| from > first),
        Bound::After(bound) => to > bound && last.is_none_or(|last| from < last),
    };
    let number = |column: i64| u64::try_from(column).unwrap_or(0);
    gaps.into_iter()
        .filter_map(|row| {
            let ordinal = u32::try_from(row.ordinal).unwrap_or(0);
            let (from, to) = (number(row.from_pos), number(row.to_pos));
            let at = LogPosition::new(ordinal, from);
            covers(at, LogPosition::new(ordinal, to))
                .then_some((at, Entry::Gap { gap: Gap { epoch: row.epoch, from, to } }))
        })
        .collect()
}

fn key(folded: &Folded) -> MessageKey {
    MessageKey { author: folded.author.id, id: folded.message.id }
}

fn stored(row: MessageRow) -> Item {
    let at = LogPosition::new(u32::try_from(row.ordinal).unwrap_or(0), u64::try_from(row.pos).unwrap_or(0));
    let message = Message {
        id: row.id,
        text: row.text,
        reply_to: row.reply_to,
        reply_to_author: row.reply_to_author,
        attachments: row.attachments,
    };
    let folded = Folded {
        author: User { id: row.author, username: row.author_username, display_name: row.author_display_name },
        message,
        time: row.time.into(),
        edited_at: row.edited_at.map(Into::into),
        deleted: row.deleted,
        reactions: row.reactions.0.into_iter().collect(),
    };
    Item { at, epoch: row.epoch, folded: Some(folded) }
}

fn message(room: &RoomName, reader: Uuid, at: LogPosition, epoch: String, folded: Folded) -> Entry {
    let reactions = reacted(folded.reactions.iter(), reader);
    let Message { id, text, reply_to, reply_to_author, attachments } = folded.message;
    Entry::Message(Box::new(PageMessage {
        room: room.clone(),
        epoch,
        pos: at.pos,
        r#type: "message",
        time: folded.time,
        sender: folded.author.into(),
        message: PageText { id, text: (!folded.deleted).then_some(text), reply_to, reply_to_author, attachments },
        edited_at: folded.edited_at,
        deleted: folded.deleted,
        reactions,
    }))
}

/// They come in the order of their emoji.
fn reacted<'a>(reactions: impl Iterator<Item = &'a Reaction>, reader: Uuid) -> Vec<Reacted> {
    let mut all: Vec<Reacted> = Vec::new();
    for reaction in reactions {
        let me = reaction.user == reader;
        match all.last_mut().filter(|last| last.emoji == reaction.emoji) {
            Some(last) => {
                last.count += 1;
                last.me |= me;
            }
            None => all.push(Reacted { emoji: reaction.emoji.clone(), count: 1, me }),
        }
    }
    all
}

#[cfg(test)]
mod tests;
