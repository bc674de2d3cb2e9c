//! Frames as clients send them, right and wrong.

use super::*;
use serde_json::json;

const ID: &str = "019368d2-7c1e-7c3a-9d55-0d6c5a1b2c3d";

fn verb_of(text: &str) -> Verb {
    match parse(text) {
        Parsed::Command { id: 7, verb } => verb,
        other => panic!("{text} is {other:?}"),
    }
}

fn error_of(text: &str) -> (u64, &'static str, About) {
    match parse(text) {
        Parsed::Wrong { id, problem, about } => (id, problem.code.word(), about),
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn right_frames_say_what_they_say() {
    assert_eq!(parse("{}"), Parsed::Pong);
    assert_eq!(parse(" { } "), Parsed::Pong);
    let epoch: Epoch = "1-k3f9qa".parse().unwrap();
    let room: RoomName = "team-a/general".parse().unwrap();
    let connect = verb_of(
        r#"{"id":7,"connect":{"token":"t","client":"web/1.0","lines":true,"new":1,"rooms":[{"room":"team-a/general","epoch":"1-k3f9qa","pos":5120},{"room":"x"}]}}"#,
    );
    let Verb::Connect(connect) = connect else { panic!("{connect:?}") };
    assert_eq!((connect.token.as_str(), connect.lines, connect.rooms.len()), ("t", true, 2));
    assert_eq!(connect.rooms[0].place, Ok((room.clone(), At { epoch: Some(epoch.clone()), pos: Some(5120) })));
    assert!(matches!(connect.rooms[1].place, Err(Refused::Invalid { .. })));
    assert_eq!(
        verb_of(r#"{"subscribe":{"room":"team-a/general"},"id":7}"#),
        Verb::Subscribe { room: room.clone(), at: At::default() }
    );
    let message = NewMessage {
        id: ID.into(),
        text: "a\u{e9}\u{1F44D}".into(),
        reply_to: None,
        reply_to_author: None,
        attachments: None,
    };
    assert_eq!(
        verb_of(&format!(
            r#"{{"id":7,"send":{{"room":"team-a/general","message":{{"id":"{ID}","text":"a\u00e9\ud83d\udc4d","reply_to":null}}}}}}"#
        )),
        Verb::Send { room: room.clone(), message }
    );
    assert_eq!(
        verb_of(r#"{"id":7,"read":{"room":"team-a/general","epoch":"1-k3f9qa","pos":0}}"#),
        Verb::Read { room: room.clone(), epoch: Some(epoch), pos: 0 }
    );
    assert_eq!(
        verb_of(r#"{"id":7,"history":{"room":"team-a/general","before":9,"limit":500}}"#),
        Verb::History { room: room.clone(), asked: Asked { before: Some(9), limit: Some(500), ..Asked::default() } }
    );
    assert_eq!(verb_of(r#"{"id":7,"unsubscribe":{"room":"team-a/general"}}"#), Verb::Unsubscribe { room });
    assert_eq!(verb_of(r#"{"id":7,"refresh":{"token":"t"}}"#), Verb::Refresh { token: "t".into() });
    // Unknown fields are passed by, at the top too.
    assert_eq!(
        verb_of(r#"{"id":7,"trace":"x","refresh":{"token":"t","more":[]}}"#),
        Verb::Refresh { token: "t".into() }
    );
}

#[test]
fn forty_wrong_frames_are_each_told() {
    let not_json = [
        "",
        " ",
        "hello",
        "[]",
        "[{}]",
        "null",
        "5",
        r#""x""#,
        "{",
        r#"{"id":1"#,
        "{}{}",
        "{'id':1}",
        r#"{"id":1,}"#,
        "\u{feff}{}",
    ];
    for text in not_json {
        assert_eq!(parse(text), Parsed::NotJson, "{text}");
    }
    let no_id = [
        r#"{"send":{}}"#,
        r#"{"id":0,"send":{}}"#,
        r#"{"id":-1,"send":{}}"#,
        r#"{"id":1.5,"send":{}}"#,
        r#"{"id":"1","send":{}}"#,
        r#"{"id":null,"send":{}}"#,
        r#"{"id":[],"send":{}}"#,
        r#"{"id":18446744073709551616,"send":{}}"#,
        r#"{"x":1}"#,
    ];
    for text in no_id {
        assert_eq!(error_of(text), (0, "invalid", About::Nothing), "{text}");
    }
    for text in [
        r#"{"id":7}"#,
        r#"{"id":7,"send":{},"read":{}}"#,
        r#"{"id":7,"read":{},"read":{}}"#,
        r#"{"id":7,"read":{},"x":{}}"#,
    ] {
        assert_eq!(error_of(text), (7, "invalid", About::Nothing), "{text}");
    }
    for text in [
        r#"{"id":7,"fly":{}}"#,
        r#"{"id":7,"fly":1}"#,
        r#"{"id":7,"Send":{}}"#,
        r#"{"id":7,"edit":{}}"#,
        r#"{"id":7,"delete":null}"#,
        r#"{"id":7,"react":{"room":5}}"#,
        r#"{"id":7,"typing":{"room":"team-a/general"}}"#,
    ] {
        assert_eq!(error_of(text), (7, "unimplemented", About::Other), "{text}");
    }
    for text in [
        r#"{"id":7,"subscribe":null}"#,
        r#"{"id":7,"subscribe":"team-a/general"}"#,
        r#"{"id":7,"subscribe":{}}"#,
        r#"{"id":7,"subscribe":{"room":5}}"#,
        r#"{"id":7,"subscribe":{"room":"general"}}"#,
        r#"{"id":7,"subscribe":{"room":"team-a/general","pos":-1}}"#,
        r#"{"id":7,"subscribe":{"room":"team-a/general","pos":1.5}}"#,
        r#"{"id":7,"subscribe":{"room":"team-a/general","pos":"1"}}"#,
        r#"{"id":7,"subscribe":{"room":"team-a/general","pos":9007199254740992}}"#,
        r#"{"id":7,"subscribe":{"room":"team-a/general","epoch":"k3f9qa","pos":1}}"#,
        r#"{"id":7,"send":{"room":"team-a/general"}}"#,
        r#"{"id":7,"send":{"room":"team-a/general","message":{"id":5,"text":"x"}}}"#,
        r#"{"id":7,"send":{"room":"team-a/general","message":{"id":"x"}}}"#,
        r#"{"id":7,"send":{"room":"team-a/general","message":{"id":"x","text":"\ud800"}}}"#,
        r#"{"id":7,"send":{"room":"team-a/general","message":{"id":"x","text":"x","attachments":[1]}}}"#,
        r#"{"id":7,"read":{"room":"team-a/general"}}"#,
        r#"{"id":7,"history":{"room":"team-a/general","limit":-5}}"#,
        r#"{"id":7,"history":{"room":"team-a/general","limit":"ten"}}"#,
        r#"{"id":7,"unsubscribe":{"room":"Team-A/general"}}"#,
        r#"{"id":7,"refresh":{}}"#,
        r#"{"id":7,"refresh":["t"]}"#,
    ] {
        assert_eq!(error_of(text), (7, "invalid", About::Other), "{text}");
    }
    for text in [
        r#"{"id":7,"connect":{}}"#,
        r#"{"id":7,"connect":{"token":5}}"#,
        r#"{"id":7,"connect":{"token":"t","rooms":{}}}"#,
    ] {
        assert_eq!(error_of(text), (7, "invalid", About::Connect), "{text}");
    }
}

#[test]
fn two_hundred_rooms_may_be_named_at_once_and_no_more() {
    let connect = |count: usize| {
        let rooms: Vec<_> = (0..count).map(|number| json!({"room": format!("a/r{number}")})).collect();
        parse(&json!({"id": 7, "connect": {"token": "t", "rooms": rooms}}).to_string())
    };
    assert!(matches!(connect(200), Parsed::Command { .. }));
    assert!(matches!(connect(201), Parsed::Wrong { id: 7, about: About::ManyRooms, .. }));
}

#[test]
fn depth_is_no_danger() {
    let deep = format!(r#"{{"id":7,"fly":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(error_of(&deep), (7, "unimplemented", About::Other));
    let deep = format!(r#"{{"id":7,"read":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(error_of(&deep), (7, "invalid", About::Other));
}
