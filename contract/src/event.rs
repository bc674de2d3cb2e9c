//! The versioned envelope of a log's AMQP message and the events in it.

mod decode;

use crate::position::{Epoch, LogPosition, MAX_BATCH_EVENTS};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Version of the envelope that this code writes.
pub const VERSION: u32 = 1;

/// The body of one AMQP message: 1 to 1,024 events of one room. Room and epoch stand in the headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub v: u32,
    /// In log order.
    pub events: Vec<Event>,
}

/// Why a body is no envelope that this code may store.
#[derive(Debug, thiserror::Error)]
pub enum BadEnvelope {
    /// Not the JSON that was expected.
    #[error("failed to decode the envelope")]
    Json(#[from] serde_json::Error),
    /// Written by a later program.
    #[error("failed to read the envelope: its version is {0}, this program knows {VERSION}")]
    Version(u32),
    /// No event, or more than fit.
    #[error("failed to read the envelope: it holds {0} events, 1 to {MAX_BATCH_EVENTS} are allowed")]
    Count(usize),
}

impl Envelope {
    /// Decodes the body of an AMQP message.
    ///
    /// # Errors
    /// If it is not JSON of this shape, of another version, or empty.
    pub fn decode(body: &[u8]) -> Result<Self, BadEnvelope> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let envelope = match serde_json::from_slice::<Self>(body) {
            Ok(envelope) if envelope.v == VERSION => envelope,
            // Another version may have any other shape: that is what is told then.
            other => {
                let Version { v } = serde_json::from_slice(body)?;
                if v != VERSION {
                    return Err(BadEnvelope::Version(v));
                }
                other?
            }
        };
        match envelope.events.len() {
            1..=MAX_BATCH_EVENTS => Ok(envelope),
            count => Err(BadEnvelope::Count(count)),
        }
    }

    /// Puts events that were encoded one by one (by [`Event::encode`]) into one body.
    #[must_use]
    pub fn join(events: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::with_capacity(24 + events.iter().map(|event| event.len() + 1).sum::<usize>());
        body.extend_from_slice(format!("{{\"v\":{VERSION},\"events\":[").as_bytes());
        for (i, event) in events.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event);
        }
        body.extend_from_slice(b"]}");
        body
    }
}

/// One durable thing that happened in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "decode::Flat")]
pub struct Event {
    /// Message id, or the command's `op`, or derived from the cause: the first (room, sender, key) in the log counts.
    pub key: Uuid,
    /// Hash of the command as first sent: another body under the same key is a conflict.
    pub hash: String,
    /// Up to where the key was known to be absent when this was handed to the broker.
    pub after: LogPosition,
    /// `None` where the system acts.
    pub sender: Option<User>,
    /// A gateway's clock, RFC 3339 UTC with milliseconds.
    pub time: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

impl Event {
    /// The sender's id, the nil UUID for the system: the second part of the dedup key.
    #[must_use]
    pub fn sender_id(&self) -> Uuid {
        self.sender.as_ref().map_or(Uuid::nil(), |sender| sender.id)
    }

    /// Whether a text in it holds NUL, which PostgreSQL cannot store: no edge lets such an event in, so it is void wherever it comes from.
    #[must_use]
    pub fn holds_nul(&self) -> bool {
        let nul = |text: &str| text.contains('\0');
        let named = |user: &User| nul(&user.username) || nul(&user.display_name);
        nul(&self.hash)
            || nul(&self.time)
            || self.sender.as_ref().is_some_and(named)
            || match &self.body {
                Body::Message { message } => nul(&message.text),
                Body::Edited { text, .. } => nul(text),
                Body::Reaction { emoji, .. } => nul(emoji),
                Body::Member { user, .. } => named(user),
                Body::Room { display_name, topic, .. } => nul(display_name) || nul(topic),
                Body::Attachment { attachment } => attachment.to_string().contains(r"\u0000"),
                Body::Deleted { .. } | Body::Closed { .. } => false,
            }
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never for the types of this module; `serde_json`'s error is handed through.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// Who did something, as they were called then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// UUIDv7.
    pub id: Uuid,
    /// Never given to another person.
    pub username: String,
    /// Free text.
    pub display_name: String,
}

/// What an event says, told apart by `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// A new message.
    Message {
        /// The message.
        message: Message,
    },
    /// A new text for a message.
    Edited {
        /// Which message.
        message: MessageRef,
        /// The whole new text.
        text: String,
    },
    /// A message is gone for good.
    Deleted {
        /// Which message.
        message: MessageRef,
    },
    /// An emoji of the sender on a message.
    Reaction {
        /// Which message.
        message: MessageRef,
        /// One emoji or `:name:`.
        emoji: String,
        /// True: taken back.
        removed: bool,
    },
    /// Someone came, went, or has another role.
    Member {
        /// Who.
        user: User,
        /// What changed.
        change: MemberChange,
        /// The role now (after `left`: the one held before).
        role: Role,
    },
    /// The room itself changed: what it is now.
    Room {
        /// Shown name.
        display_name: String,
        /// Shown topic.
        topic: String,
        /// Who may see it.
        visibility: Visibility,
        /// False: closed to sending.
        open: bool,
    },
    /// An upload is ready, or refused.
    Attachment {
        /// Its metadata, as PROTOCOL shows it.
        attachment: serde_json::Value,
    },
    /// This log is over: what stands behind it is void.
    Closed {
        /// The log that follows.
        next_epoch: Epoch,
    },
}

impl Body {
    /// Whether this counts only while the room is open to sending: what people say and do to what was said.
    #[must_use]
    pub fn needs_open(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Edited { .. } | Self::Deleted { .. } | Self::Reaction { .. })
    }

    /// The word in `type`.
    #[must_use]
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Edited { .. } => "edited",
            Self::Deleted { .. } => "deleted",
            Self::Reaction { .. } => "reaction",
            Self::Member { .. } => "member",
            Self::Room { .. } => "room",
            Self::Attachment { .. } => "attachment",
            Self::Closed { .. } => "closed",
        }
    }
}

/// A message as sent. Its author is the event's sender: a message is (author, id).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// UUIDv7, made by the client; also the event's key.
    pub id: Uuid,
    /// As sent.
    pub text: String,
    /// The message this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Uuid>,
    /// Author of the message this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to_author: Option<Uuid>,
    /// Ids of uploads.
    #[serde(default)]
    pub attachments: Vec<Uuid>,
}

/// Names a message in the events about it, with where it stands so that a reader need not search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRef {
    /// The message's id.
    pub id: Uuid,
    /// Its author's id.
    pub author: Uuid,
    /// Epoch it stands in.
    pub epoch: Epoch,
    /// Position it stands at.
    pub pos: u64,
}

/// What changed about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// Came in.
    Joined,
    /// Left or was removed.
    Left,
    /// Has another role.
    Role,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Everything.
    Owner,
    /// Also edits and deletes others' messages.
    Moderator,
    /// Reads and sends.
    Member,
    /// Reads.
    ReadOnly,
}

impl Role {
    /// As written in manifests and in PostgreSQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Moderator => "Moderator",
            Self::Member => "Member",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// Reads [`Role::as_str`] back; `None` for another word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Owner, Self::Moderator, Self::Member, Self::ReadOnly].into_iter().find(|role| role.as_str() == word)
    }

    /// Whether this role may send messages.
    #[must_use]
    pub fn may_send(self) -> bool {
        self != Self::ReadOnly
    }

    /// Whether this role may edit and delete what others said.
    #[must_use]
    pub fn may_moderate(self) -> bool {
        matches!(self, Self::Owner | Self::Moderator)
    }
}

/// Who may see a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone signed in reads; members send.
    Public,
    /// Does not exist for those outside.
    Private,
}

impl Visibility {
    /// As written in manifests and in PostgreSQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "Public",
            Self::Private => "Private",
        }
    }

    /// Reads [`Visibility::as_str`] back; `None` for another word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Public, Self::Private].into_iter().find(|visibility| visibility.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        let id = Uuid::now_v7();
        Event {
            key: id,
            hash: "h".into(),
            after: LogPosition::START,
            sender: Some(User { id: Uuid::now_v7(), username: "alice".into(), display_name: "Alice".into() }),
            time: "2026-11-24T10:00:00.000Z".into(),
            body: Body::Message {
                message: Message { id, text: text.into(), reply_to: None, reply_to_author: None, attachments: vec![] },
            },
        }
    }

    #[test]
    fn joined_events_decode_to_what_was_encoded() {
        let events = vec![event("a\"b\n"), event("ü")];
        let encoded: Vec<_> = events.iter().map(|event| event.encode().unwrap()).collect();
        assert_eq!(Envelope::decode(&Envelope::join(&encoded)).unwrap().events, events);
    }

    #[test]
    fn every_body_reads_back_and_names_its_type() {
        let reference = MessageRef { id: Uuid::nil(), author: Uuid::nil(), epoch: "1-abcdef".parse().unwrap(), pos: 1 };
        let user = User { id: Uuid::nil(), username: "a".into(), display_name: "A".into() };
        for body in [
            Body::Edited { message: reference.clone(), text: "t".into() },
            Body::Deleted { message: reference.clone() },
            Body::Reaction { message: reference, emoji: "👍".into(), removed: true },
            Body::Member { user, change: MemberChange::Joined, role: Role::Member },
            Body::Room { display_name: "d".into(), topic: "t".into(), visibility: Visibility::Private, open: false },
            Body::Attachment { attachment: serde_json::json!({"id": "x"}) },
            Body::Closed { next_epoch: "2-abcdef".parse().unwrap() },
        ] {
            let event = Event { sender: None, body, ..event("") };
            let json: serde_json::Value = serde_json::from_slice(&event.encode().unwrap()).unwrap();
            assert_eq!(json["type"], event.body.type_word());
            assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }

    #[test]
    fn nul_is_found_in_any_text() {
        assert!(!event("a\\u0000 b").holds_nul());
        assert!(event("a\0").holds_nul());
        assert!(Event { time: "\0".into(), ..event("") }.holds_nul());
        let attachment = serde_json::json!({"name": "a\0b"});
        assert!(Event { body: Body::Attachment { attachment }, ..event("") }.holds_nul());
    }

    #[test]
    fn a_later_version_and_an_empty_batch_are_refused_by_name() {
        assert!(matches!(Envelope::decode(br#"{"v":2,"what":1}"#), Err(BadEnvelope::Version(2))));
        assert!(matches!(Envelope::decode(br#"{"v":1,"events":[]}"#), Err(BadEnvelope::Count(0))));
        assert!(matches!(Envelope::decode(b"x"), Err(BadEnvelope::Json(_))));
    }
}
