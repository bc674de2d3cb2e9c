//! A new message: is it well formed, may this person say it here and now, and where does it stand in the log.

use crate::error::Refused;
use crate::log::{Appended, Draft, Logs, RoomKey, hash};
use crate::rooms::access::Wish;
use crate::state::State;
use crate::store::rooms::RoomRow;
use contract::event::{Body, Message, User};
use contract::room::RoomName;
use serde::{Deserialize, Serialize};
use service::limits::Rate;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;
use uuid::{Uuid, Variant};

/// How far a client's clock may be ahead.
const AHEAD: Duration = Duration::from_mins(5);

/// A message as a client gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct NewMessage {
    /// UUIDv7, lower case, made by the client: the same one again is the same message.
    #[schema(example = "019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d")]
    pub(crate) id: String,
    /// 1 to 8,192 bytes unless the room says otherwise.
    pub(crate) text: String,
    /// The message that this one answers.
    pub(crate) reply_to: Option<String>,
    /// Author of the message that this one answers.
    pub(crate) reply_to_author: Option<String>,
    /// Ids of uploads.
    #[serde(default)]
    pub(crate) attachments: Option<Vec<String>>,
}

/// Where the message stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Posted {
    /// The room.
    #[schema(value_type = String)]
    pub(crate) room: RoomName,
    /// The log that it stands in.
    pub(crate) epoch: String,
    /// Where in it.
    pub(crate) pos: u64,
    /// A gateway's clock.
    #[schema(value_type = String)]
    pub(crate) time: Arc<str>,
    /// It stood there before.
    pub(crate) duplicate: bool,
}

/// A message that may be said now.
#[derive(Debug)]
pub(crate) struct Allowed {
    room: RoomKey,
    draft: Draft,
}

/// Decides on a message; nothing is said yet.
pub(crate) async fn allow(
    state: &State,
    sender: &User,
    room: &RoomName,
    message: NewMessage,
) -> Result<Allowed, Refused> {
    let message = well_formed(message, SystemTime::now())?;
    // What is wrong with the message itself is said first, to whoever may see the room.
    let row = state.access.ask(Wish::Read, sender.id, room).await?;
    fits(&message.text, row.message_bytes)?;
    let row = state.access.ask(Wish::Write, sender.id, room).await?;
    limit(state, &row, sender.id).await?;
    let key = message.id;
    let body = Body::Message { message };
    let draft = Draft { sender: Some(sender.clone()), key, hash: hash(&body), body, after: None };
    Ok(Allowed { room: row.key.clone(), draft })
}

/// Says it. The call itself takes the place in the order; the future waits for the answer.
pub(crate) fn say(
    logs: &Logs,
    allowed: Allowed,
) -> impl Future<Output = Result<Posted, Refused>> + Send + 'static + use<> {
    let Allowed { room, draft } = allowed;
    let appending = logs.append(&room, draft);
    async move {
        let Appended { epoch, pos, time, duplicate } = appending.await?;
        Ok(Posted { room: room.name, epoch: epoch.to_string(), pos, time, duplicate })
    }
}

/// Both, for edges where each message comes by itself.
pub(crate) async fn post(
    state: &State,
    sender: &User,
    room: &RoomName,
    message: NewMessage,
) -> Result<Posted, Refused> {
    let allowed = allow(state, sender, room, message).await?;
    say(&state.logs, allowed).await
}

async fn limit(state: &State, room: &RoomRow, sender: Uuid) -> Result<(), Refused> {
    let rate = Rate::per_second(room.messages_per_second, room.burst.max(1));
    let key = format!("post:{}:{sender}", room.key.id);
    state.limiter.check(&key, rate).await.map_err(Refused::RateLimited)
}

/// What can be said of a message without knowing the room.
fn well_formed(message: NewMessage, now: SystemTime) -> Result<Message, Refused> {
    let id = id_v7("message.id", &message.id)?;
    if sent_at(id) > now.duration_since(UNIX_EPOCH).unwrap_or_default() + AHEAD {
        return Err(Refused::Invalid {
            reason: Some("clock"),
            detail: "message.id lies more than 5 minutes ahead: set the clock of this device".to_owned(),
        });
    }
    if message.text.is_empty() {
        return Err(Refused::invalid("message.text is empty"));
    }
    if message.text.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t') {
        return Err(Refused::invalid("message.text holds a control character; only line feed and tab are allowed"));
    }
    let reply_to = message.reply_to.as_deref().map(|id| id_v7("message.reply_to", id)).transpose()?;
    let reply_to_author =
        message.reply_to_author.as_deref().map(|id| id_v7("message.reply_to_author", id)).transpose()?;
    if reply_to.is_none() && reply_to_author.is_some() {
        return Err(Refused::invalid("message.reply_to_author without message.reply_to"));
    }
    if message.attachments.is_some_and(|ids| !ids.is_empty()) {
        return Err(Refused::Unimplemented("sending attachments"));
    }
    Ok(Message { id, text: message.text, reply_to, reply_to_author, attachments: Vec::new() })
}

fn fits(text: &str, most: usize) -> Result<(), Refused> {
    if text.len() > most {
        return Err(Refused::TooLarge(format!("message.text has {} bytes, this room takes {most}", text.len())));
    }
    Ok(())
}

/// An id as the protocol has it: UUIDv7, lower case, with dashes.
fn id_v7(field: &str, text: &str) -> Result<Uuid, Refused> {
    let id = Uuid::try_parse(text).ok().filter(|id| {
        let mut buffer = Uuid::encode_buffer();
        id.get_version_num() == 7
            && id.get_variant() == Variant::RFC4122
            && *id.hyphenated().encode_lower(&mut buffer) == *text
    });
    id.ok_or_else(|| Refused::invalid(format!("{field} is no UUIDv7 in lower case")))
}

/// The time in an id, since 1970.
fn sent_at(id: Uuid) -> Duration {
    let milliseconds = id.as_u128() >> 80;
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d";

    fn message(id: &str, text: &str) -> NewMessage {
        NewMessage { id: id.into(), text: text.into(), reply_to: None, reply_to_author: None, attachments: None }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + sent_at(ID.parse().unwrap())
    }

    #[test]
    fn a_message_is_taken_as_it_was_sent() {
        let text = "  <b>fett</b>\n\t👍🏽 \u{202e}x\u{200d} ";
        let formed = well_formed(message(ID, text), now()).unwrap();
        assert_eq!((formed.id.to_string().as_str(), formed.text.as_str()), (ID, text));
        let answer = NewMessage {
            reply_to: Some(ID.into()),
            reply_to_author: Some(ID.into()),
            attachments: Some(vec![]),
            ..message(ID, "x")
        };
        assert_eq!(well_formed(answer, now()).unwrap().reply_to, Some(ID.parse().unwrap()));
    }

    #[test]
    fn ids_are_uuids_of_version_7_in_lower_case() {
        for wrong in [
            "",
            "x",
            "019368D2-7C1E-7C3A-9D55-0D6C5A1B2C3D",
            "019368d27c1e7c3a9d550d6c5a1b2c3d",
            "{019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d}",
            "urn:uuid:019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d",
            "019368d2-7c1e-4c3a-9d55-0d6c5a1b2c3d",
            "019368d2-7c1e-7c3a-1d55-0d6c5a1b2c3d",
            "00000000-0000-0000-0000-000000000000",
            " 019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d",
        ] {
            assert!(
                matches!(well_formed(message(wrong, "x"), now()), Err(Refused::Invalid { reason: None, .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_id_may_lie_five_minutes_ahead_and_no_more() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        assert!(well_formed(message(ID, "x"), now() - minutes(5)).is_ok());
        assert!(well_formed(message(ID, "x"), now() + minutes(60 * 24 * 365)).is_ok());
        let late = well_formed(message(ID, "x"), now() - minutes(5) - Duration::from_millis(1));
        assert!(matches!(late, Err(Refused::Invalid { reason: Some("clock"), .. })));
    }

    #[test]
    fn texts_are_not_empty_and_hold_no_control_characters() {
        for wrong in ["", "\0", "a\rb", "a\u{7f}", "\u{85}", "\u{1b}[31m"] {
            assert!(matches!(well_formed(message(ID, wrong), now()), Err(Refused::Invalid { .. })), "{wrong:?}");
        }
        assert_eq!(fits("äö", 4), Ok(()));
        assert!(matches!(fits("äöx", 4), Err(Refused::TooLarge(_))));
    }

    #[test]
    fn attachments_wait_for_uploads_and_an_author_needs_an_answer() {
        let attached = NewMessage { attachments: Some(vec![ID.into()]), ..message(ID, "x") };
        assert!(matches!(well_formed(attached, now()), Err(Refused::Unimplemented(_))));
        let alone = NewMessage { reply_to_author: Some(ID.into()), ..message(ID, "x") };
        assert!(matches!(well_formed(alone, now()), Err(Refused::Invalid { .. })));
        let wrong = NewMessage { reply_to: Some("x".into()), ..message(ID, "x") };
        assert!(matches!(well_formed(wrong, now()), Err(Refused::Invalid { .. })));
    }
}
