//! Reads an event in one pass. What serde derives for a flattened, tagged enum buffers every field twice, and every reader of a log
//! decodes every event.

use super::{Body, Event, MemberChange, Message, MessageRef, Role, User, Visibility};
use crate::position::{Epoch, LogPosition};
use serde::Deserialize;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The fields of all types, of which each event has some.
#[derive(Deserialize)]
pub(super) struct Flat {
    key: Uuid,
    hash: String,
    after: LogPosition,
    sender: Option<User>,
    time: Arc<str>,
    #[serde(rename = "type")]
    kind: Kind,
    message: Option<AnyMessage>,
    text: Option<String>,
    emoji: Option<String>,
    removed: Option<bool>,
    user: Option<User>,
    change: Option<MemberChange>,
    role: Option<Role>,
    display_name: Option<String>,
    topic: Option<String>,
    visibility: Option<Visibility>,
    open: Option<bool>,
    attachment: Option<serde_json::Value>,
    next_epoch: Option<Epoch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Message,
    Edited,
    Deleted,
    Reaction,
    Member,
    Room,
    Attachment,
    Closed,
}

/// A message, or what names one.
#[derive(Deserialize)]
struct AnyMessage {
    id: Uuid,
    text: Option<String>,
    reply_to: Option<Uuid>,
    reply_to_author: Option<Uuid>,
    #[serde(default)]
    attachments: Vec<Uuid>,
    author: Option<Uuid>,
    epoch: Option<Epoch>,
    pos: Option<u64>,
}

/// Why fields are no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoEvent {
    /// The event's type needs it.
    #[error("missing field `{0}`")]
    Missing(&'static str),
    /// Retention compares times as texts, and pages show them.
    #[error("time `{0}` is not as 2026-11-24T10:00:00.000Z")]
    Time(Arc<str>),
}

fn need<T>(field: Option<T>, name: &'static str) -> Result<T, NoEvent> {
    field.ok_or(NoEvent::Missing(name))
}

/// RFC 3339 in UTC with milliseconds, which is ordered as a text is.
fn is_time(text: &str) -> bool {
    let form = text.len() == "2026-11-24T10:00:00.000Z".len() && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    form && OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

impl AnyMessage {
    fn message(self) -> Result<Message, NoEvent> {
        Ok(Message {
            id: self.id,
            text: need(self.text, "message.text")?,
            reply_to: self.reply_to,
            reply_to_author: self.reply_to_author,
            attachments: self.attachments,
        })
    }

    fn reference(self) -> Result<MessageRef, NoEvent> {
        Ok(MessageRef {
            id: self.id,
            author: need(self.author, "message.author")?,
            epoch: need(self.epoch, "message.epoch")?,
            pos: need(self.pos, "message.pos")?,
        })
    }
}

impl TryFrom<Flat> for Event {
    type Error = NoEvent;

    fn try_from(flat: Flat) -> Result<Self, NoEvent> {
        if !is_time(&flat.time) {
            return Err(NoEvent::Time(flat.time));
        }
        let message = need(flat.message, "message");
        let body = match flat.kind {
            Kind::Message => Body::Message { message: message?.message()? },
            Kind::Edited => Body::Edited { message: message?.reference()?, text: need(flat.text, "text")? },
            Kind::Deleted => Body::Deleted { message: message?.reference()? },
            Kind::Reaction => Body::Reaction {
                message: message?.reference()?,
                emoji: need(flat.emoji, "emoji")?,
                removed: need(flat.removed, "removed")?,
            },
            Kind::Member => Body::Member {
                user: need(flat.user, "user")?,
                change: need(flat.change, "change")?,
                role: need(flat.role, "role")?,
            },
            Kind::Room => Body::Room {
                display_name: need(flat.display_name, "display_name")?,
                topic: need(flat.topic, "topic")?,
                visibility: need(flat.visibility, "visibility")?,
                open: need(flat.open, "open")?,
            },
            Kind::Attachment => Body::Attachment { attachment: need(flat.attachment, "attachment")? },
            Kind::Closed => Body::Closed { next_epoch: need(flat.next_epoch, "next_epoch")? },
        };
        Ok(Self { key: flat.key, hash: flat.hash, after: flat.after, sender: flat.sender, time: flat.time, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_the_type_needs_is_told_by_name_and_others_are_ignored() {
        let head = r#""key":"0193e9a0-0000-7000-8000-000000000000","hash":"h","after":{"ordinal":0,"pos":0},"sender":null,"time":"2026-11-24T10:00:00.000Z""#;
        let read = |rest: &str| serde_json::from_str::<Event>(&format!("{{{head},{rest}}}"));
        let error =
            read(r#""type":"edited","message":{"id":"0193e9a0-0000-7000-8000-000000000000"},"text":"x""#).unwrap_err();
        assert!(error.to_string().contains("message.author"), "{error}");
        assert!(read(r#""type":"closed""#).unwrap_err().to_string().contains("next_epoch"));
        assert!(read(r#""type":"unheard_of""#).is_err());
        assert!(read(r#""type":"closed","next_epoch":"2-abcdef","later":{"a":[1]}"#).is_ok());
    }

    #[test]
    fn a_time_that_would_not_be_in_order_as_a_text_is_none() {
        assert!(is_time("2026-11-24T10:00:00.000Z"));
        for text in [
            "",
            "soon",
            "2026-11-24T10:00:00Z",
            "2026-11-24 10:00:00.000Z",
            "2026-11-24T10:00:00,000Z",
            "2026-11-24t10:00:00.000z",
            "2026-13-24T10:00:00.000Z",
            "2026-11-24T10:00:00.0000Z",
            "2026-11-24T10:00+01:00:00Z",
            "zzzz-11-24T10:00:00.000Z",
        ] {
            assert!(!is_time(text), "{text}");
        }
    }
}
