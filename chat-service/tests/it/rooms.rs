//! Joining, leaving, private and closed rooms, and who is in them.

use crate::util::{ROOM, SOON, get, listed, message, post, pushed, rest};
use e2e::rig::Rig;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const LEADS: &str = "team-a/leads";

#[tokio::test(flavor = "multi_thread")]
async fn a_private_room_is_there_for_its_members_and_gone_for_who_is_dropped() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let (anna, bert) = (rig.register("anna").await.unwrap(), rig.register("bert").await.unwrap());
    let with = |members: Value| json!({"visibility": "Private", "members": members});
    let mut heard = rig.socket(0, &bert).await.unwrap();
    let both = json!([{"user": "anna", "role": "Owner"}, {"user": "bert"}]);
    rig.write_room(LEADS, &with(both)).unwrap();
    rig.rooms_ready(2, SOON).await.unwrap();
    // Bert hears that his list changed, and finds the room in it.
    assert_eq!(pushed(&mut heard, "rooms_changed").await["room"], LEADS);
    let room = listed(&rig, &bert, LEADS, |room| room["role"] == "Member").await;
    assert_eq!((&room["visibility"], &room["open"]), (&json!("Private"), &json!(true)));
    heard.ok("subscribe", json!({"room": LEADS})).await.unwrap();
    heard.said(LEADS, "a word in private").await.unwrap();

    // For others it is not there, whatever they do.
    let outsider = rig.stranger("outsider");
    let path = format!("/v1/rooms/{LEADS}");
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::GET, "/messages"),
        (Method::GET, "/members"),
        (Method::POST, "/join"),
        (Method::POST, "/leave"),
    ] {
        let (status, problem) = rest(&rig, &outsider, method, &format!("{path}{suffix}"), None).await;
        assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{suffix}");
    }
    assert_eq!(post(&rig, &outsider, &format!("{path}/messages"), message("x")).await.1["code"], "not_found");
    let (_, rooms) = get(&rig, &outsider, "/v1/rooms").await;
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1);
    let mut socket = rig.socket(0, &outsider).await.unwrap();
    for (verb, body) in [
        ("subscribe", json!({"room": LEADS})),
        ("history", json!({"room": LEADS})),
        ("read", json!({"room": LEADS, "pos": 0})),
        ("send", json!({"room": LEADS, "message": message("x")})),
    ] {
        assert_eq!(socket.err(verb, body).await.unwrap()["code"], "not_found", "{verb}");
    }

    // Dropped from the manifest: out, and nothing of the room follows.
    let mut owner = rig.socket(0, &anna).await.unwrap();
    owner.said(LEADS, "the last one for bert").await.unwrap();
    while pushed(&mut heard, "ev").await["message"]["text"] != "the last one for bert" {}
    rig.write_room(LEADS, &with(json!([{"user": "anna", "role": "Owner"}]))).unwrap();
    assert_eq!(pushed(&mut heard, "unsubscribed").await, json!({"room": LEADS, "code": "not_found"}));
    heard.forget_pushed();
    owner.said(LEADS, "not for bert").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(1), pushed(&mut heard, "ev")).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(get(&rig, &bert, &path).await.0, 404);
    assert_eq!(heard.err("send", json!({"room": LEADS, "message": message("x")})).await.unwrap()["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_leaving_are_events_and_have_their_limits() {
    let rig = Rig::chat(1, &[]).await.unwrap();
    rig.write_room(ROOM, &json!({"limits": {"maxMembers": 3}})).unwrap();
    rig.rooms_ready(1, SOON).await.unwrap();
    let path = format!("/v1/rooms/{ROOM}");
    let reader = rig.stranger("reader");
    let mut socket = rig.socket(0, &reader).await.unwrap();
    socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    // A public room is read without joining, written only with.
    assert_eq!(post(&rig, &reader, &format!("{path}/messages"), message("x")).await.0, 403);
    assert_eq!(listed(&rig, &reader, ROOM, |_| true).await["role"], Value::Null);
    let people: Vec<_> = ["cora", "anna", "bert"].map(|name| rig.stranger(name)).into();
    for person in &people {
        for _ in 0..2 {
            assert_eq!(rest(&rig, person, Method::POST, &format!("{path}/join"), None).await, (204, Value::Null));
        }
        let event = pushed(&mut socket, "ev").await;
        assert_eq!((&event["type"], &event["change"]), (&json!("member"), &json!("joined")));
        assert_eq!((&event["user"]["id"], &event["sender"]["id"]), (&json!(person.id), &json!(person.id)));
    }
    let (status, problem) = rest(&rig, &reader, Method::POST, &format!("{path}/join"), None).await;
    assert_eq!((status, &problem["code"], &problem["reason"]), (409, &json!("conflict"), &json!("room_full")));
    let (_, first) = get(&rig, &reader, &format!("{path}/members?limit=2")).await;
    let names = |page: &Value| -> Vec<String> {
        page["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["user"]["username"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((names(&first), &first["has_more"]), (vec!["anna".to_owned(), "bert".to_owned()], &json!(true)));
    let (_, second) = get(&rig, &reader, &format!("{path}/members?limit=2&after=bert")).await;
    assert_eq!((names(&second), &second["has_more"]), (vec!["cora".to_owned()], &json!(false)));
    assert_eq!(second["members"][0]["role"], "Member");
    assert_eq!(get(&rig, &reader, &format!("{path}/members?limit=0")).await.0, 422);

    assert_eq!(post(&rig, &people[0], &format!("{path}/messages"), message("bye")).await.0, 201);
    for _ in 0..2 {
        assert_eq!(rest(&rig, &people[0], Method::POST, &format!("{path}/leave"), None).await.0, 204);
    }
    assert_eq!(post(&rig, &people[0], &format!("{path}/messages"), message("x")).await.1["code"], "forbidden");
    assert_eq!(pushed(&mut socket, "ev").await["type"], "message");
    assert_eq!(pushed(&mut socket, "ev").await["change"], "left");
    // Who left may still read, and may come back.
    assert_eq!(rest(&rig, &people[0], Method::POST, &format!("{path}/join"), None).await.0, 204);
    assert_eq!(pushed(&mut socket, "ev").await["change"], "joined");

    // Withdrawn: it can be read and left, not written or joined.
    rig.write_room("team-a/second", &json!({})).unwrap();
    rig.write_room("team-a/third", &json!({})).unwrap();
    rig.rooms_ready(3, SOON).await.unwrap();
    std::fs::remove_file(rig.rooms().join("team-a.general.yaml")).unwrap();
    listed(&rig, &reader, ROOM, |room| room["open"] == false).await;
    for (status, problem) in [
        post(&rig, &people[0], &format!("{path}/messages"), message("x")).await,
        rest(&rig, &reader, Method::POST, &format!("{path}/join"), None).await,
    ] {
        assert_eq!((status, &problem["code"], &problem["reason"]), (409, &json!("conflict"), &json!("room_closed")));
    }
    assert_eq!(get(&rig, &reader, &format!("{path}/messages")).await.1["messages"][0]["message"]["text"], "bye");
    assert_eq!(rest(&rig, &people[1], Method::POST, &format!("{path}/leave"), None).await.0, 204);
}
