//! What the server says, as JSON text. Events are put in as they were encoded, once for all sockets.

use crate::log::frame::Frame;
use bytes::Bytes;
use contract::position::Epoch;
use contract::room::RoomName;
use serde::Serialize;
use serde_json::{Value, json};
use service::problem::Problem;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// A ping, to be answered with the same.
pub(super) const PING: Bytes = Bytes::from_static(b"{}");

/// A ROOM of the protocol.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) name: &'a str,
    pub(super) epoch: &'a Epoch,
    pub(super) pos: u64,
    pub(super) recovered: bool,
    pub(super) events: &'a [Arc<Frame>],
    pub(super) more: bool,
}

/// `{"id":…,"ok":…}` with anything that is JSON.
pub(super) fn ok(id: u64, answer: &impl Serialize) -> Bytes {
    match serde_json::to_string(answer) {
        Ok(answer) => ok_text(id, &answer),
        Err(error) => {
            // Only a type that is no JSON can get here.
            tracing::error!(%error, "failed to encode an answer");
            err(id, &crate::error::Refused::Internal.into())
        }
    }
}

/// The same with what is JSON text already.
pub(super) fn ok_text(id: u64, answer: &str) -> Bytes {
    format!(r#"{{"id":{id},"ok":{answer}}}"#).into()
}

/// `{"id":…,"err":…}`.
pub(super) fn err(id: u64, problem: &Problem) -> Bytes {
    format!(r#"{{"id":{id},"err":{}}}"#, fault(problem)).into()
}

/// The `err` of a reply or of a ROOM.
fn fault(problem: &Problem) -> Value {
    let mut fault =
        json!({"code": problem.code.word(), "message": problem.detail, "temporary": problem.code.temporary()});
    if let Some(reason) = &problem.reason {
        fault["reason"] = reason.as_ref().into();
    }
    if let Some(wait) = problem.wait() {
        fault["retry_after_ms"] = milliseconds(wait).into();
    }
    fault
}

/// A ROOM.
pub(super) fn room(room: &Room<'_>) -> String {
    let size = room.events.iter().map(|frame| frame.push.len()).sum::<usize>() + 160;
    let mut text = String::with_capacity(size);
    // Names and epochs hold nothing that JSON would escape. Writing to a string cannot fail.
    write!(
        text,
        r#"{{"room":"{}","epoch":"{}","pos":{},"recovered":{},"more":{},"events":["#,
        room.name, room.epoch, room.pos, room.recovered, room.more
    )
    .ok();
    for (place, frame) in room.events.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&String::from_utf8_lossy(&frame.event()));
    }
    text.push_str("]}");
    text
}

/// A ROOM that could not be subscribed to. `name` is as the client wrote it.
pub(super) fn room_refused(name: &str, problem: &Problem) -> String {
    json!({"room": name, "recovered": false, "events": [], "more": false, "err": fault(problem)}).to_string()
}

/// The answer to `connect`: `rooms` are JSON texts.
pub(super) fn connected(id: u64, head: &Value, rooms: &[String]) -> Bytes {
    let mut head = head.to_string();
    head.pop();
    ok_text(id, &format!(r#"{head},"rooms":[{}]}}"#, rooms.join(",")))
}

/// `{"lagged":…}`: both positions included.
pub(super) fn lagged(room: &RoomName, epoch: &Epoch, from: u64, to: u64) -> Bytes {
    push("lagged", json!({"room": room, "epoch": epoch, "from": from, "to": to}))
}

/// `{"reset":…}`.
pub(super) fn reset(room: &RoomName, epoch: &Epoch, pos: u64) -> Bytes {
    push("reset", json!({"room": room, "epoch": epoch, "pos": pos}))
}

/// `{"unsubscribed":…}`: to those outside the room is not there.
pub(super) fn unsubscribed(room: &RoomName) -> Bytes {
    push("unsubscribed", json!({"room": room, "code": "not_found"}))
}

/// `{"rooms_changed":…}`.
pub(super) fn rooms_changed(room: &RoomName) -> Bytes {
    push("rooms_changed", json!({"room": room}))
}

/// `{"auth_expiring":…}`.
pub(super) fn auth_expiring(left: Duration) -> Bytes {
    push("auth_expiring", json!({"in_ms": milliseconds(left)}))
}

/// `{"disconnect":…}`, before the close frame.
pub(super) fn disconnect(code: u16, retry_after: Option<Duration>) -> Bytes {
    push("disconnect", json!({"code": code, "retry_after_ms": retry_after.map(milliseconds)}))
}

fn push(name: &str, body: Value) -> Bytes {
    let mut push = serde_json::Map::new();
    push.insert(name.to_owned(), body);
    Value::Object(push).to_string().into()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::position::LogPosition;
    use service::problem::Code;

    fn json_of(text: &[u8]) -> Value {
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn a_reply_is_ok_or_err_and_names_its_command() {
        assert_eq!(json_of(&ok(7, &json!({"a": 1}))), json!({"id": 7, "ok": {"a": 1}}));
        let problem = Problem::new(Code::RateLimited, "wait").reason("room").retry_after(Duration::from_millis(1200));
        assert_eq!(
            json_of(&err(7, &problem)),
            json!({"id": 7, "err": {"code": "rate_limited", "reason": "room", "message": "wait", "temporary": true, "retry_after_ms": 1200}})
        );
        assert_eq!(
            json_of(&err(0, &Problem::new(Code::Invalid, "no"))),
            json!({"id": 0, "err": {"code": "invalid", "message": "no", "temporary": false}})
        );
    }

    #[test]
    fn a_room_holds_its_events_as_they_are() {
        let epoch: Epoch = "1-k3f9qa".parse().unwrap();
        let frame = |pos: u64| Frame::stored(LogPosition::new(1, pos), &format!(r#"{{"pos":{pos},"text":"é"}}"#));
        let events = [frame(1), frame(2)];
        let text = room(&Room { name: "a/b", epoch: &epoch, pos: 2, recovered: true, events: &events, more: false });
        let wanted = json!({"room": "a/b", "epoch": "1-k3f9qa", "pos": 2, "recovered": true, "more": false,
            "events": [{"pos": 1, "text": "é"}, {"pos": 2, "text": "é"}]});
        assert_eq!(json_of(text.as_bytes()), wanted);
        let refused = room_refused("no \"room\"", &Problem::new(Code::Unavailable, "later"));
        let reply = json_of(&connected(1, &json!({"session": "s"}), &[text, refused]));
        assert_eq!(reply["ok"]["rooms"][0], wanted);
        assert_eq!(reply["ok"]["rooms"][1]["err"]["temporary"], true);
        assert_eq!(
            json_of(&connected(1, &json!({"session": "s"}), &[])),
            json!({"id": 1, "ok": {"session": "s", "rooms": []}})
        );
    }

    #[test]
    fn pushes_have_their_names() {
        let room: RoomName = "a/b".parse().unwrap();
        let epoch: Epoch = "1-k3f9qa".parse().unwrap();
        assert_eq!(
            json_of(&lagged(&room, &epoch, 1, 2)),
            json!({"lagged": {"room": "a/b", "epoch": "1-k3f9qa", "from": 1, "to": 2}})
        );
        assert_eq!(json_of(&reset(&room, &epoch, 3)), json!({"reset": {"room": "a/b", "epoch": "1-k3f9qa", "pos": 3}}));
        assert_eq!(json_of(&unsubscribed(&room)), json!({"unsubscribed": {"room": "a/b", "code": "not_found"}}));
        assert_eq!(json_of(&rooms_changed(&room)), json!({"rooms_changed": {"room": "a/b"}}));
        assert_eq!(json_of(&auth_expiring(Duration::from_mins(1))), json!({"auth_expiring": {"in_ms": 60000}}));
        assert_eq!(
            json_of(&disconnect(3001, Some(Duration::from_secs(1)))),
            json!({"disconnect": {"code": 3001, "retry_after_ms": 1000}})
        );
    }
}
