//! Wrong frames on the socket.

use std::time::{Duration, SystemTime};

use e2e::person::Person;
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use super::{Case, PRIVATE, PUBLIC, What};

/// Before `connect` the socket closes with 3501.
fn first(name: &'static str, text: impl Into<String>) -> Case {
    Case::new(name, What::Text { connected: false, text: text.into(), close: Some(3501) }, &["invalid"])
}

/// After `connect`, for what is not this protocol at all.
fn fatal(name: &'static str, text: impl Into<String>) -> Case {
    Case::new(name, What::Text { connected: true, text: text.into(), close: Some(3501) }, &["invalid"])
}

/// After `connect`, for a command that is wrong: the socket stays.
#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn command(name: &'static str, text: Value, codes: &'static [&'static str]) -> Case {
    Case::new(name, What::Text { connected: true, text: text.to_string(), close: None }, codes)
}

fn message(room: &str, id: &str, text: &str) -> Value {
    json!({"id": 2, "send": {"room": room, "message": {"id": id, "text": text}}})
}

/// All of them. The socket's owner has joined nothing.
pub(super) fn cases(member: &Person) -> Vec<Case> {
    let connect = json!({"id": 2, "connect": {"token": member.access_token}}).to_string();
    let mut cases = vec![
        first("another verb before connect", json!({"id": 1, "subscribe": {"room": PUBLIC}}).to_string()),
        first("no JSON before connect", "hello"),
        first("an array before connect", "[1,2]"),
        first("brackets without end before connect", "[".repeat(60_000)),
        Case::new("a binary frame before connect", What::Binary { connected: false, close: 3501 }, &["invalid"]),
        fatal("a second connect", connect),
        fatal("no JSON", "{\"id\":"),
        fatal("a number", "7"),
        Case::new("a binary frame", What::Binary { connected: true, close: 3501 }, &["invalid"]),
        Case::new(
            "a frame over 64 KiB",
            What::Text { connected: true, text: " ".repeat(65 * 1024), close: Some(1009) },
            &["too_large", "invalid"],
        ),
    ];
    cases.extend(of_form());
    cases.extend(of_content());
    cases
}

fn of_form() -> Vec<Case> {
    let many: Vec<Value> = (0..201).map(|number| json!({"room": format!("a/room-{number}")})).collect();
    vec![
        command("a command without an id", json!({"history": {"room": PUBLIC}}), &["invalid"]),
        command("an id of 0", json!({"id": 0, "history": {"room": PUBLIC}}), &["invalid"]),
        command("an id that is no number", json!({"id": "1", "history": {"room": PUBLIC}}), &["invalid"]),
        command("no verb", json!({"id": 2}), &["invalid"]),
        command(
            "two verbs",
            json!({"id": 2, "history": {"room": PUBLIC}, "unsubscribe": {"room": PUBLIC}}),
            &["invalid"],
        ),
        command("an unknown verb", json!({"id": 2, "dance": {"room": PUBLIC}}), &["unimplemented"]),
        command("a verb without its fields", json!({"id": 2, "subscribe": {}}), &["invalid"]),
        command("a verb that is no object", json!({"id": 2, "subscribe": PUBLIC}), &["invalid"]),
        Case::new(
            "201 rooms in a second connect",
            What::Text {
                connected: true,
                text: json!({"id": 2, "connect": {"token": "x", "rooms": many}}).to_string(),
                close: Some(3501),
            },
            &["invalid"],
        ),
        command(
            "an edit",
            json!({"id": 2, "edit": {"room": PUBLIC, "message": Uuid::now_v7(), "text": "x"}}),
            &["unimplemented"],
        ),
        command("a typing", json!({"id": 2, "typing": {"room": PUBLIC}}), &["unimplemented"]),
    ]
}

fn of_content() -> Vec<Case> {
    let id = || Uuid::now_v7().to_string();
    let future = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_hours(1);
    let future = Uuid::new_v7(Timestamp::from_unix(NoContext, future.as_secs(), 0)).to_string();
    let subscribe = |at: Value| {
        let mut body = json!({"room": PUBLIC});
        for (name, value) in at.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        json!({"id": 2, "subscribe": body})
    };
    vec![
        command("a room that is not there", json!({"id": 2, "subscribe": {"room": "team-a/nothing"}}), &["not_found"]),
        command(
            "a room that is no address",
            json!({"id": 2, "subscribe": {"room": "No Room"}}),
            &["invalid", "not_found"],
        ),
        command("a private room of others", json!({"id": 2, "subscribe": {"room": PRIVATE}}), &["not_found"]),
        command("sending to a private room of others", message(PRIVATE, &id(), "x"), &["not_found"]),
        command("an epoch of no shape", subscribe(json!({"epoch": "first", "pos": 1})), &["invalid"]),
        command("a negative position", subscribe(json!({"epoch": "1-abcdef", "pos": -1})), &["invalid"]),
        command("sending without having joined", message(PUBLIC, &id(), "x"), &["forbidden"]),
        command("an empty text", message(PUBLIC, &id(), ""), &["invalid"]),
        command("a text over the limit", message(PUBLIC, &id(), &"x".repeat(8_193)), &["too_large"]),
        command("a control character", message(PUBLIC, &id(), "a\u{7}b"), &["invalid"]),
        command("a NUL", message(PUBLIC, &id(), "a\0b"), &["invalid"]),
        command("an id that is no UUIDv7", message(PUBLIC, &Uuid::new_v4().to_string(), "x"), &["invalid"]),
        command("an id that is no UUID", message(PUBLIC, "1", "x"), &["invalid"]),
        command("an id from the future", message(PUBLIC, &future, "x"), &["invalid"]).reason("clock"),
        command(
            "a message without a text",
            json!({"id": 2, "send": {"room": PUBLIC, "message": {"id": id()}}}),
            &["invalid"],
        ),
        command("a page of 0", json!({"id": 2, "history": {"room": PUBLIC, "limit": 0}}), &["invalid"]),
        command("a page of 101", json!({"id": 2, "history": {"room": PUBLIC, "limit": 101}}), &["invalid"]),
        command(
            "a page before and after",
            json!({"id": 2, "history": {"room": PUBLIC, "before": 5, "after": 1}}),
            &["invalid"],
        ),
    ]
}
