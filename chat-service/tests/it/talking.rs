//! Subscribing, sending, resuming: the promises of the socket that one or two gateways keep.

use crate::operator::{Operator, manifest, with};
use crate::util::{Bare, ROOM, SOON, chat, get, heard, message, post, pushed};
use e2e::schema::Schemas;
use e2e::socket::{Frame, Socket};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_says_everybody_reads_at_the_same_place_and_a_retry_is_no_copy() {
    let rig = chat(2, &[ROOM]).await;
    let (anna, bert) = (rig.member("anna", ROOM).await.unwrap(), rig.member("bert", ROOM).await.unwrap());
    let mut one = rig.socket(0, &anna).await.unwrap();
    let mut other = rig.socket(1, &bert).await.unwrap();
    for socket in [&mut one, &mut other] {
        let room = socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
        assert_eq!((&room["room"], &room["recovered"], &room["more"]), (&json!(ROOM), &json!(false), &json!(false)));
    }
    let first = message("hello ü 👍");
    let sent = one.ok("send", json!({"room": ROOM, "message": first})).await.unwrap();
    assert_eq!((&sent["room"], &sent["duplicate"]), (&json!(ROOM), &json!(false)));
    let seen = heard(&mut other).await;
    let place = |value: &Value| (value["epoch"].clone(), value["pos"].clone(), value["time"].clone());
    assert_eq!(place(&seen), place(&sent));
    assert_eq!(seen["message"]["text"], "hello ü 👍");
    assert_eq!(seen["sender"]["username"], "anna");

    // The same id again, over another gateway and over REST: the first place. With another text: refused.
    let mut third = rig.socket(1, &anna).await.unwrap();
    let again = third.ok("send", json!({"room": ROOM, "message": first})).await.unwrap();
    assert_eq!((place(&again), &again["duplicate"]), (place(&sent), &json!(true)));
    let path = format!("/v1/rooms/{ROOM}/messages");
    let (status, over_rest) = post(&rig, &anna, &path, first.clone()).await;
    assert_eq!((status, place(&over_rest), &over_rest["duplicate"]), (201, place(&sent), &json!(true)));
    let mut another = first.clone();
    another["text"] = "something else".into();
    assert_eq!(
        third.err("send", json!({"room": ROOM, "message": another})).await.unwrap()["code"],
        "idempotency_conflict"
    );
    assert_eq!(post(&rig, &anna, &path, another).await.1["code"], "idempotency_conflict");
    // Another's equal id is another message.
    let (status, theirs) = post(&rig, &bert, &path, first.clone()).await;
    assert_eq!((status, &theirs["duplicate"]), (201, &json!(false)));

    // What was acknowledged is in the page, at once.
    let (_, page) = get(&rig, &bert, &path).await;
    let places: Vec<&Value> = page["messages"].as_array().unwrap().iter().map(|entry| &entry["pos"]).collect();
    assert_eq!(places, [&sent["pos"], &theirs["pos"]]);
    assert!(page["pos"].as_u64() >= theirs["pos"].as_u64(), "{page}");
    // The other gateway may be a moment behind, but not behind a position that is known.
    let last = json!({"room": ROOM, "limit": 1, "epoch": theirs["epoch"], "min_pos": theirs["pos"]});
    let over_socket = other.ok("history", last).await.unwrap();
    assert_eq!((&over_socket["messages"][0]["pos"], &over_socket["has_more"]), (&theirs["pos"], &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_resumes_its_rooms_and_each_has_its_own_answer() {
    let rig = chat(1, &[ROOM, "team-a/other"]).await;
    let operator = Operator::new(&rig, 0).await.unwrap();
    let leads = with(manifest("team-a/leads", "1"), |spec| "Private".clone_into(&mut spec.visibility));
    operator.make(&rig, vec![leads]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let start = socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(socket.said(ROOM, &format!("number {number}")).await.unwrap().0);
    }
    drop(socket);
    let mut socket = Socket::open(&rig.gateway(0).socket, None).await.unwrap();
    let rooms = json!([
        {"room": ROOM, "epoch": start["epoch"], "pos": start["pos"]},
        {"room": "team-a/nothing"},
        {"room": "no room"},
        {"room": "team-a/leads"},
        {"room": "team-a/other"},
        {"room": ROOM, "epoch": "7-abcdef", "pos": 1024},
    ]);
    let ok = socket.ok("connect", json!({"token": anna.access_token, "rooms": rooms})).await.unwrap();
    assert_eq!(ok["user"]["id"], anna.id);
    assert_eq!(ok["ping_ms"], 25_000);
    let answers = ok["rooms"].as_array().unwrap();
    let events = answers[0]["events"].as_array().unwrap();
    let got: Vec<&str> = events.iter().filter_map(|event| event["message"]["id"].as_str()).collect();
    assert_eq!(got, ids);
    assert_eq!((&answers[0]["recovered"], &answers[0]["more"]), (&json!(true), &json!(false)));
    for (place, code) in [(1, "not_found"), (2, "invalid"), (3, "not_found")] {
        assert_eq!(answers[place]["err"]["code"], code, "{}", answers[place]);
        assert_eq!(answers[place]["room"], rooms[place]["room"]);
    }
    assert_eq!((&answers[4]["recovered"], &answers[4]["err"]), (&json!(false), &Value::Null));
    assert_eq!(answers[5]["recovered"], false);
    // From inside a batch or the very beginning, exactly what follows.
    for pos in [answers[0]["events"][2]["pos"].as_u64().unwrap(), 0] {
        let again = socket.ok("subscribe", json!({"room": ROOM, "epoch": start["epoch"], "pos": pos})).await.unwrap();
        assert_eq!(again["recovered"], true);
        let events = again["events"].as_array().unwrap();
        assert!(events.iter().all(|event| event["pos"].as_u64().unwrap() > pos));
        assert_eq!(events.last().unwrap()["message"]["id"], ids[4].as_str());
    }
    // A position that is not there yet: after 2 s a temporary error or nothing pretended, never events.
    let ahead = json!({"room": ROOM, "epoch": start["epoch"], "pos": 1_u64 << 40});
    let reply = socket.call("subscribe", ahead).await.unwrap();
    assert!(reply["err"]["temporary"] == true || reply["ok"]["recovered"] == false, "{reply}");
    socket.ok("unsubscribe", json!({"room": ROOM})).await.unwrap();
    socket.forget_pushed();
    post(&rig, &anna, &format!("/v1/rooms/{ROOM}/messages"), message("unheard")).await;
    socket.silence(Duration::from_millis(500)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_as_the_asyncapi_document_says() {
    let rig = chat(1, &[ROOM]).await;
    let document: Value =
        rig.http.get(format!("{}/asyncapi.json", rig.gateway(0).http)).send().await.unwrap().json().await.unwrap();
    let schemas = Schemas::load().unwrap();
    let is = |name: &str, frame: &Value| {
        schemas.check_part(&document, &format!("/components/messages/{name}/payload"), frame).unwrap();
    };
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = Socket::open(&rig.gateway(0).socket, None).await.unwrap();
    let body = json!({"token": anna.access_token, "rooms": [{"room": ROOM}, {"room": "team-a/nothing"}]});
    is("connected", &socket.call("connect", body).await.unwrap());
    let at = json!({"room": ROOM, "epoch": "1-aaaaaa", "pos": 5});
    is("subscribed", &socket.call("subscribe", at).await.unwrap());
    let sent = socket.call("send", json!({"room": ROOM, "message": message("x")})).await.unwrap();
    is("sent", &sent);
    is("page", &socket.call("history", json!({"room": ROOM})).await.unwrap());
    is("pointed", &socket.call("read", json!({"room": ROOM, "pos": sent["ok"]["pos"]})).await.unwrap());
    is("refreshed", &socket.call("refresh", json!({"token": anna.access_token})).await.unwrap());
    is("unsubscribed_ok", &socket.call("unsubscribe", json!({"room": ROOM})).await.unwrap());
    is("err", &socket.call("edit", json!({})).await.unwrap());
    is("err", &socket.call("history", json!({"room": ROOM, "limit": 0})).await.unwrap());
    let event = pushed(&mut socket, "ev").await;
    is("ev", &json!({"ev": event}));
    socket.send_bytes(vec![1]).await.unwrap();
    let mut names = Vec::new();
    while let Frame::Json(frame) = socket.read(SOON).await.unwrap() {
        let name = frame.as_object().unwrap().keys().find(|key| *key != "id").unwrap().clone();
        is(&name, &frame);
        names.push(name);
    }
    assert_eq!(names, ["err", "disconnect"]);
    // Whatever the document names is spoken by somebody: verbs that it has are not unknown.
    let operations = &document["operations"]["receiveCommands"]["messages"];
    assert_eq!(operations.as_array().unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_subprotocol_is_served_and_lines_share_frames() {
    let rig = chat(1, &[ROOM]).await;
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut bare = Bare::open(&rig.gateway(0).socket, None).await;
    bare.say(json!({"id": 1, "connect": {"token": anna.access_token, "lines": true, "rooms": [{"room": ROOM}]}})).await;
    assert!(bare.next(SOON).await.unwrap().contains(r#""ok""#));
    for number in 0..100 {
        bare.say(json!({"id": number + 2, "send": {"room": ROOM, "message": {"id": Uuid::now_v7(), "text": "x"}}}))
            .await;
    }
    let (mut frames, mut replies, mut events) = (0, 0, 0);
    while replies + events < 200 {
        let frame = bare.next(SOON).await.unwrap();
        frames += 1;
        for line in frame.lines() {
            let json: Value = serde_json::from_str(line).unwrap();
            replies += usize::from(json.get("ok").is_some());
            events += usize::from(json["ev"]["type"] == "message");
        }
    }
    assert_eq!((replies, events), (100, 100));
    assert!(frames < 200, "{frames} frames for 200 objects");
}
