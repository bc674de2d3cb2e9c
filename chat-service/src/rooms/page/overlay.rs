//! What a reader has beyond the stored position, as events for the fold.

use crate::log::frame::Frame;
use crate::store::rooms::EpochRow;
use contract::event::{Body, Event, Message, MessageRef, User};
use contract::position::{Epoch, LogPosition};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// Events above the stored position, and where they end.
#[derive(Debug)]
pub(super) struct Overlay {
    /// The current log.
    pub(super) epoch: Epoch,
    /// Up to here the page reflects it.
    pub(super) pos: u64,
    /// In the order of the log.
    pub(super) events: Vec<(LogPosition, Event)>,
}

impl Overlay {
    /// Where everything is stored.
    pub(super) fn nothing(current: &EpochRow) -> Self {
        Self { epoch: current.epoch.clone(), pos: current.pos, events: Vec::new() }
    }

    /// Reads the frames of a reader.
    pub(super) fn read(frames: &[Arc<Frame>], epoch: Epoch, pos: u64) -> Self {
        let events = frames.iter().filter_map(|frame| Some((frame.at, event(&frame.event())?))).collect();
        Self { epoch, pos, events }
    }
}

/// An EVENT as it is sent to clients, as far as the fold needs it.
#[derive(Deserialize)]
struct Wire {
    time: Arc<str>,
    sender: Option<User>,
    #[serde(flatten)]
    body: WireBody,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireBody {
    Message {
        message: Message,
    },
    Edited {
        message: EditedRef,
    },
    Deleted {
        message: MessageRef,
    },
    Reaction {
        message: MessageRef,
        emoji: String,
        removed: bool,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct EditedRef {
    #[serde(flatten)]
    message: MessageRef,
    text: String,
}

/// `None` for events that are about no message.
fn event(json: &[u8]) -> Option<Event> {
    let wire: Wire = serde_json::from_slice(json).ok()?;
    let body = match wire.body {
        WireBody::Message { message } => Body::Message { message },
        WireBody::Edited { message } => Body::Edited { message: message.message, text: message.text },
        WireBody::Deleted { message } => Body::Deleted { message },
        WireBody::Reaction { message, emoji, removed } => Body::Reaction { message, emoji, removed },
        WireBody::Other => return None,
    };
    // Key, hash and `after` decided whether the event counts; it does.
    Some(Event {
        key: Uuid::nil(),
        hash: String::new(),
        after: LogPosition::START,
        sender: wire.sender,
        time: wire.time,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::event::{MemberChange, Role};
    use contract::room::RoomName;

    fn sent(body: Body) -> Event {
        let sender = User { id: Uuid::from_u128(1), username: "mia".into(), display_name: "Mia".into() };
        let time = "2026-11-24T10:00:00.000Z".into();
        Event { key: Uuid::nil(), hash: String::new(), after: LogPosition::START, sender: Some(sender), time, body }
    }

    #[test]
    fn events_about_messages_read_back_from_what_clients_get() {
        let room: RoomName = "team-a/general".parse().unwrap();
        let epoch: Epoch = "1-aaaaaa".parse().unwrap();
        let message =
            MessageRef { id: Uuid::from_u128(2), author: Uuid::from_u128(1), epoch: epoch.clone(), pos: 1024 };
        let text = Message {
            id: Uuid::from_u128(2),
            text: "hi".into(),
            reply_to: None,
            reply_to_author: None,
            attachments: vec![],
        };
        for body in [
            Body::Message { message: text },
            Body::Edited { message: message.clone(), text: "ho".into() },
            Body::Deleted { message: message.clone() },
            Body::Reaction { message, emoji: "👍".into(), removed: true },
        ] {
            let event = sent(body);
            let frame = Frame::of(&room, &epoch, 2048, &event).unwrap();
            let overlay = Overlay::read(&[frame], epoch.clone(), 2048);
            assert_eq!(overlay.events, [(LogPosition::new(1, 2048), event)]);
        }
        let user = User { id: Uuid::from_u128(1), username: "mia".into(), display_name: "Mia".into() };
        let joined = sent(Body::Member { user, change: MemberChange::Joined, role: Role::Member });
        let frame = Frame::of(&room, &epoch, 2048, &joined).unwrap();
        assert_eq!(Overlay::read(&[frame], epoch, 2048).events, []);
    }
}
