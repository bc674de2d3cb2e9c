//! Which events of a log are void by what stands before them in it: behind `closed`, or said while the room was closed to sending.
//! The same code for gateway and historian, because it must be a function of the log alone.

use crate::event::{Body, Event};
use crate::position::Epoch;

/// What the events up to some position of a log say about those that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether the log stands open to sending.
    pub sending: bool,
    /// The log that follows, once this one is over.
    pub closed: Option<Epoch>,
}

impl Default for Standing {
    /// Before the first event of a log.
    fn default() -> Self {
        Self { sending: true, closed: None }
    }
}

impl Standing {
    /// A log of which everything up to some position is known, and which is not over there.
    #[must_use]
    pub fn at(sending: bool) -> Self {
        Self { sending, closed: None }
    }

    /// Whether the next event of the log `epoch` counts if its key is new. A void event's key is not remembered.
    /// What cannot be stored (a text with NUL) is void for readers, as it is for history.
    /// A `closed` that names no later log is void: one that was meant for the log before can not close its successor.
    #[must_use]
    pub fn admits(&self, epoch: &Epoch, event: &Event) -> bool {
        if self.closed.is_some() || (!self.sending && event.body.needs_open()) || event.holds_nul() {
            return false;
        }
        match &event.body {
            Body::Closed { next_epoch } => next_epoch.ordinal() > epoch.ordinal(),
            _ => true,
        }
    }

    /// Goes past an event that counted.
    pub fn apply(&mut self, event: &Event) {
        match &event.body {
            Body::Room { open, .. } => self.sending = *open,
            Body::Closed { next_epoch } => self.closed = Some(next_epoch.clone()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Message, Visibility};
    use crate::position::LogPosition;
    use uuid::Uuid;

    fn event(body: Body) -> Event {
        Event {
            key: Uuid::now_v7(),
            hash: String::new(),
            after: LogPosition::START,
            sender: None,
            time: "2026-11-24T10:00:00.000Z".into(),
            body,
        }
    }

    fn message() -> Event {
        let id = Uuid::now_v7();
        event(Body::Message {
            message: Message { id, text: "t".into(), reply_to: None, reply_to_author: None, attachments: vec![] },
        })
    }

    fn room(open: bool) -> Event {
        event(Body::Room { display_name: String::new(), topic: String::new(), visibility: Visibility::Public, open })
    }

    fn closed(next: &str) -> Event {
        event(Body::Closed { next_epoch: next.parse().unwrap() })
    }

    #[test]
    fn messages_are_void_between_closing_and_opening_and_other_events_are_not() {
        let epoch = "1-abcdef".parse().unwrap();
        let mut standing = Standing::default();
        assert!(standing.admits(&epoch, &message()));
        standing.apply(&room(false));
        assert!(!standing.admits(&epoch, &message()));
        assert!(standing.admits(&epoch, &room(true)));
        standing.apply(&room(true));
        assert!(standing.admits(&epoch, &message()));
    }

    #[test]
    fn everything_behind_closed_is_void() {
        let epoch = "1-abcdef".parse().unwrap();
        let mut standing = Standing::default();
        standing.apply(&closed("2-abcdef"));
        assert!(!standing.admits(&epoch, &message()) && !standing.admits(&epoch, &room(true)));
    }

    #[test]
    fn a_log_is_not_closed_in_favour_of_itself_or_an_earlier_one() {
        let epoch = "2-abcdef".parse().unwrap();
        let standing = Standing::default();
        assert!(!standing.admits(&epoch, &closed("2-abcdef")) && !standing.admits(&epoch, &closed("1-abcdef")));
        assert!(standing.admits(&epoch, &closed("3-abcdef")));
    }
}
