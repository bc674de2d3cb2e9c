//! What a message is after all events about it: the same rules for gateway, historian and client.
//! `deleted` is final; the last edit in log order wins; reactions are a set of (user, emoji).

use crate::event::{Body, Event, Message, MessageRef, User};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// A message with everything that happened to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// Who wrote it.
    pub author: User,
    /// As it reads now; empty text and no attachments once deleted.
    pub message: Message,
    /// Time of the first sending.
    pub time: Arc<str>,
    /// Time of the last edit.
    pub edited_at: Option<Arc<str>>,
    /// Final.
    pub deleted: bool,
    /// Who reacted with what.
    pub reactions: BTreeSet<Reaction>,
}

/// One person's emoji.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// The person's id.
    pub user: Uuid,
}

/// A message is (author, id): another sender's equal id is another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// The author's id.
    pub author: Uuid,
    /// The message's id.
    pub id: Uuid,
}

impl From<&MessageRef> for MessageKey {
    fn from(reference: &MessageRef) -> Self {
        Self { author: reference.author, id: reference.id }
    }
}

/// Which message an event is about, if any.
#[must_use]
pub fn subject(event: &Event) -> Option<MessageKey> {
    match &event.body {
        Body::Message { message } => Some(MessageKey { author: event.sender_id(), id: message.id }),
        Body::Edited { message, .. } | Body::Deleted { message } | Body::Reaction { message, .. } => {
            Some(message.into())
        }
        Body::Member { .. } | Body::Room { .. } | Body::Attachment { .. } | Body::Closed { .. } => None,
    }
}

/// Applies the next event in log order to the message it is about. An event about a message that is not known changes nothing.
pub fn apply(state: &mut Option<Folded>, event: &Event) {
    match (&event.body, state.as_mut()) {
        (Body::Message { message }, None) => {
            if let Some(author) = &event.sender {
                *state = Some(Folded {
                    author: author.clone(),
                    message: message.clone(),
                    time: event.time.clone(),
                    edited_at: None,
                    deleted: false,
                    reactions: BTreeSet::new(),
                });
            }
        }
        (_, Some(folded)) if folded.deleted => {}
        (Body::Edited { text, .. }, Some(folded)) => {
            folded.message.text.clone_from(text);
            folded.edited_at = Some(event.time.clone());
        }
        (Body::Deleted { .. }, Some(folded)) => {
            folded.deleted = true;
            folded.message.text.clear();
            folded.message.attachments.clear();
            folded.reactions.clear();
        }
        (Body::Reaction { emoji, removed, .. }, Some(folded)) => {
            let reaction = Reaction { emoji: emoji.clone(), user: event.sender_id() };
            if *removed {
                folded.reactions.remove(&reaction);
            } else {
                folded.reactions.insert(reaction);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::LogPosition;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Edit(u8),
        Delete,
        React(u8, u8, bool),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => any::<u8>().prop_map(Act::Edit),
            1 => Just(Act::Delete),
            6 => (0_u8..3, 0_u8..3, any::<bool>()).prop_map(|(user, emoji, removed)| Act::React(user, emoji, removed)),
        ]
    }

    fn event(number: u8, body: Body) -> Event {
        let id = Uuid::from_u128(u128::from(number) + 1);
        Event {
            key: Uuid::now_v7(),
            hash: String::new(),
            after: LogPosition::START,
            sender: Some(User { id, username: format!("u{number}"), display_name: String::new() }),
            time: "2026-11-24T10:00:00.000Z".into(),
            body,
        }
    }

    fn sent() -> Event {
        let message = Message {
            id: Uuid::from_u128(99),
            text: "first".into(),
            reply_to: None,
            reply_to_author: None,
            attachments: vec![],
        };
        event(0, Body::Message { message })
    }

    fn to_event(act: &Act) -> Event {
        let message = MessageRef {
            id: Uuid::from_u128(99),
            author: Uuid::from_u128(1),
            epoch: "1-abcdef".parse().unwrap(),
            pos: 1024,
        };
        match act {
            Act::Edit(n) => event(0, Body::Edited { message, text: n.to_string() }),
            Act::Delete => event(0, Body::Deleted { message }),
            Act::React(user, emoji, removed) => {
                event(*user, Body::Reaction { message, emoji: emoji.to_string(), removed: *removed })
            }
        }
    }

    proptest! {
        #[test]
        fn the_fold_keeps_the_last_edit_the_set_of_reactions_and_a_deletion_for_ever(acts in prop::collection::vec(act(), 0..24)) {
            let mut state = None;
            apply(&mut state, &sent());
            for act in &acts {
                apply(&mut state, &to_event(act));
            }
            let folded = state.unwrap();
            let end = acts.iter().position(|act| matches!(act, Act::Delete));
            prop_assert_eq!(folded.deleted, end.is_some());
            if end.is_some() {
                prop_assert!(folded.message.text.is_empty() && folded.reactions.is_empty());
                return Ok(());
            }
            let last = acts.iter().rev().find_map(|act| if let Act::Edit(n) = act { Some(n.to_string()) } else { None });
            prop_assert_eq!(folded.message.text, last.unwrap_or("first".into()));
            // A reaction stands if the last word on (user, emoji) added it.
            for user in 0..3_u8 {
                for emoji in 0..3_u8 {
                    let stands = acts.iter().rev().find_map(|act| match act {
                        Act::React(u, e, removed) if *u == user && *e == emoji => Some(!removed),
                        _ => None,
                    });
                    let reaction = Reaction { emoji: emoji.to_string(), user: Uuid::from_u128(u128::from(user) + 1) };
                    prop_assert_eq!(folded.reactions.contains(&reaction), stands.unwrap_or(false));
                }
            }
        }
    }

    #[test]
    fn events_about_an_unknown_message_change_nothing() {
        let mut state = None;
        apply(&mut state, &to_event(&Act::Edit(1)));
        assert_eq!(state, None);
    }

    #[test]
    fn a_second_message_event_under_the_same_key_changes_nothing() {
        let mut state = None;
        apply(&mut state, &sent());
        let before = state.clone();
        apply(&mut state, &sent());
        assert_eq!(state, before);
    }
}
