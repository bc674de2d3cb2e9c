//! An event as it is sent to clients: encoded once, shared by all sockets, stored by the historian for exact replay.

use bytes::Bytes;
use contract::event::{Body, Event, MemberChange, MessageRef, Visibility};
use contract::position::{Epoch, LogPosition};
use contract::room::RoomName;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

const PREFIX: &[u8] = br#"{"ev":"#;
/// Most frames fit in this.
const USUAL_BYTES: usize = 512;

/// One event of a room, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Where it stands.
    pub(crate) at: LogPosition,
    /// `{"ev":EVENT}`.
    pub(crate) push: Bytes,
    /// What a session must know of it beyond forwarding it.
    pub(crate) notice: Option<Notice>,
}

/// Events that change what a session may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody came, went or has another role.
    Member {
        /// Whose membership.
        user: Uuid,
        /// What changed.
        change: MemberChange,
    },
    /// The room itself changed.
    Room {
        /// Who may see it now.
        visibility: Visibility,
    },
}

impl Frame {
    /// The frame of a counted event; `None` for `closed`, which clients hear of as `reset`.
    pub(crate) fn of(room: &RoomName, epoch: &Epoch, pos: u64, event: &Event) -> Option<Arc<Self>> {
        if matches!(event.body, Body::Closed { .. }) {
            return None;
        }
        let notice = match &event.body {
            Body::Member { user, change, .. } => Some(Notice::Member { user: user.id, change: *change }),
            Body::Room { visibility, .. } => Some(Notice::Room { visibility: *visibility }),
            _ => None,
        };
        let mut push = Vec::with_capacity(USUAL_BYTES);
        push.extend_from_slice(PREFIX);
        // Writing to memory does not fail, and nothing here has keys that are no strings.
        serde_json::to_writer(&mut push, &Rendered { room, epoch, pos, event }).ok()?;
        push.push(b'}');
        Some(Arc::new(Self { at: LogPosition::new(epoch.ordinal(), pos), push: push.into(), notice }))
    }

    /// The frame of an event as the historian stored it.
    pub(crate) fn stored(at: LogPosition, event: &str) -> Arc<Self> {
        Arc::new(Self { at, push: wrap(event), notice: stored_notice(event) })
    }

    /// `EVENT` alone, as JSON.
    pub(crate) fn event(&self) -> Bytes {
        self.push.slice(PREFIX.len()..self.push.len() - 1)
    }
}

fn wrap(event: &str) -> Bytes {
    let mut push = Vec::with_capacity(event.len() + PREFIX.len() + 1);
    push.extend_from_slice(PREFIX);
    push.extend_from_slice(event.as_bytes());
    push.push(b'}');
    push.into()
}

/// Reads the notice back from a stored event: rare kinds, so only those are parsed.
fn stored_notice(event: &str) -> Option<Notice> {
    if !event.contains(r#""type":"member""#) && !event.contains(r#""type":"room""#) {
        return None;
    }
    let value: Value = serde_json::from_str(event).ok()?;
    match value["type"].as_str()? {
        "member" => Some(Notice::Member {
            user: value["user"]["id"].as_str()?.parse().ok()?,
            change: serde_json::from_value(value["change"].clone()).ok()?,
        }),
        "room" => Some(Notice::Room { visibility: Visibility::parse(value["visibility"].as_str()?)? }),
        _ => None,
    }
}

/// The EVENT of PROTOCOL, as JSON text.
pub(crate) fn render(room: &RoomName, epoch: &Epoch, pos: u64, event: &Event) -> String {
    serde_json::to_string(&Rendered { room, epoch, pos, event }).unwrap_or_default()
}

/// Written straight to text: every gateway renders every event once.
struct Rendered<'a> {
    room: &'a RoomName,
    epoch: &'a Epoch,
    pos: u64,
    event: &'a Event,
}

/// A message as clients see it, with its absent parts.
#[derive(Serialize)]
struct Shown<'a> {
    id: Uuid,
    text: &'a str,
    reply_to: Option<Uuid>,
    reply_to_author: Option<Uuid>,
    attachments: &'a [Uuid],
}

/// What names an edited message, and its new text.
#[derive(Serialize)]
struct ShownEdit<'a> {
    #[serde(flatten)]
    message: &'a MessageRef,
    text: &'a str,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("room", self.room)?;
        out.serialize_entry("epoch", self.epoch)?;
        out.serialize_entry("pos", &self.pos)?;
        out.serialize_entry("type", event.body.type_word())?;
        out.serialize_entry("time", &*event.time)?;
        out.serialize_entry("sender", &event.sender)?;
        match &event.body {
            Body::Message { message } => out.serialize_entry(
                "message",
                &Shown {
                    id: message.id,
                    text: &message.text,
                    reply_to: message.reply_to,
                    reply_to_author: message.reply_to_author,
                    attachments: &message.attachments,
                },
            )?,
            Body::Edited { message, text } => out.serialize_entry("message", &ShownEdit { message, text })?,
            Body::Deleted { message } => out.serialize_entry("message", message)?,
            Body::Reaction { message, emoji, removed } => {
                out.serialize_entry("message", message)?;
                out.serialize_entry("emoji", emoji)?;
                out.serialize_entry("removed", removed)?;
            }
            Body::Member { user, change, role } => {
                out.serialize_entry("user", user)?;
                out.serialize_entry("change", change)?;
                out.serialize_entry("role", role)?;
            }
            Body::Room { display_name, topic, visibility, open } => {
                out.serialize_entry("display_name", display_name)?;
                out.serialize_entry("topic", topic)?;
                out.serialize_entry("visibility", visibility)?;
                out.serialize_entry("open", open)?;
            }
            Body::Attachment { attachment } => out.serialize_entry("attachment", attachment)?,
            Body::Closed { next_epoch } => out.serialize_entry("next_epoch", next_epoch)?,
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{event, message, person, reference};
    use contract::event::Role;
    use serde_json::json;

    #[test]
    fn every_type_is_shown_as_the_protocol_says() {
        let (room, epoch) = ("team-a/general".parse().unwrap(), "1-abcdef".parse().unwrap());
        let said = message("a \"b\"\n");
        let about = reference(&said, "1-abcdef", 1024);
        let named = json!({"id": said.key, "author": person(1).id, "epoch": "1-abcdef", "pos": 1024});
        let mut edited = named.clone();
        edited["text"] = json!("new");
        let user = json!({"id": person(2).id, "username": "person-2", "display_name": "Person 2"});
        let member = Body::Member { user: person(2), change: MemberChange::Joined, role: Role::ReadOnly };
        let changed =
            Body::Room { display_name: "d".into(), topic: "t".into(), visibility: Visibility::Private, open: true };
        let cases = [
            (
                said.body.clone(),
                json!({"type": "message", "message": {"id": said.key, "text": "a \"b\"\n", "reply_to": null,
                "reply_to_author": null, "attachments": []}}),
            ),
            (Body::Edited { message: about.clone(), text: "new".into() }, json!({"type": "edited", "message": edited})),
            (Body::Deleted { message: about.clone() }, json!({"type": "deleted", "message": named})),
            (
                Body::Reaction { message: about, emoji: "👍".into(), removed: false },
                json!({"type": "reaction", "message": named, "emoji": "👍", "removed": false}),
            ),
            (member, json!({"type": "member", "user": user, "change": "joined", "role": "ReadOnly"})),
            (
                changed,
                json!({"type": "room", "display_name": "d", "topic": "t", "visibility": "Private", "open": true}),
            ),
            (
                Body::Attachment { attachment: json!({"id": "x"}) },
                json!({"type": "attachment", "attachment": {"id": "x"}}),
            ),
        ];
        for (body, mut expected) in cases {
            let event = event(Some(person(1)), said.key, body);
            expected["room"] = json!("team-a/general");
            expected["epoch"] = json!("1-abcdef");
            expected["pos"] = json!(2048);
            expected["time"] = json!(&*event.time);
            expected["sender"] = json!({"id": person(1).id, "username": "person-1", "display_name": "Person 1"});
            let frame = Frame::of(&room, &epoch, 2048, &event).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&frame.event()).unwrap(), expected);
            assert_eq!(serde_json::from_slice::<Value>(&frame.push).unwrap(), json!({"ev": expected}));
            // The same bytes as the historian stores, and the same notice read back from them.
            let text = render(&room, &epoch, 2048, &event);
            let stored = Frame::stored(frame.at, &text);
            assert_eq!((&stored.push, &stored.notice), (&frame.push, &frame.notice));
        }
    }
}
