//! What is unread, and read pointers.

use crate::util::{ROOM, SOON, chat, listed, message};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn others_messages_count_until_they_are_read_and_pointers_only_move_forward() {
    let rig = chat(1, &[ROOM]).await;
    let (anna, bert) = (rig.member("anna", ROOM).await.unwrap(), rig.member("bert", ROOM).await.unwrap());
    let outsider = rig.stranger("outsider");
    let mut one = rig.socket(0, &anna).await.unwrap();
    let mut other = rig.socket(0, &bert).await.unwrap();
    let mut sent = Vec::new();
    for text in ["hello", "hello @bert", "and @bert again", "nobody@bert.example"] {
        sent.push(one.ok("send", json!({"room": ROOM, "message": message(text)})).await.unwrap());
    }
    other.said(ROOM, "my own").await.unwrap();
    let room = listed(&rig, &bert, ROOM, |room| room["unread"] == 4).await;
    assert_eq!(room["mentions"], 2);
    assert!(room["last_pos"].as_u64() > sent[3]["pos"].as_u64());
    listed(&rig, &anna, ROOM, |room| room["unread"] == 1 && room["mentions"] == 0).await;
    listed(&rig, &outsider, ROOM, |room| room["unread"] == 0).await;

    let read = |pos: &serde_json::Value| json!({"room": ROOM, "pos": pos});
    other.ok("read", read(&sent[1]["pos"])).await.unwrap();
    let room = listed(&rig, &bert, ROOM, |_| true).await;
    assert_eq!((&room["unread"], &room["mentions"]), (&json!(2), &json!(1)));
    // A lower one is ignored; many at once are answered too.
    other.ok("read", read(&sent[0]["pos"])).await.unwrap();
    assert_eq!(listed(&rig, &bert, ROOM, |_| true).await["unread"], 2);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(other.command("read", read(&sent[2]["pos"])).await.unwrap());
    }
    while !ids.is_empty() {
        let frame = other.push(SOON).await.unwrap();
        if let Some(id) = frame["id"].as_u64() {
            assert!(frame["ok"].is_object(), "{frame}");
            ids.retain(|open| *open != id);
        }
    }
    assert_eq!(listed(&rig, &bert, ROOM, |_| true).await["unread"], 1);
    let last = json!({"room": ROOM, "epoch": sent[3]["epoch"], "pos": sent[3]["pos"]});
    other.ok("read", last).await.unwrap();
    listed(&rig, &bert, ROOM, |room| room["unread"] == 0 && room["mentions"] == 0).await;

    // Beyond the end: two seconds, then refused. Where the message comes meanwhile it is taken.
    let start = Instant::now();
    let beyond = json!({"room": ROOM, "pos": sent[3]["pos"].as_u64().unwrap() + 1_024_000});
    assert_eq!(other.err("read", beyond).await.unwrap()["code"], "invalid");
    assert!((1_900..8_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let next = room_end(&mut other).await + 1024;
    let id = other.command("read", json!({"room": ROOM, "pos": next})).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    one.said(ROOM, "meanwhile").await.unwrap();
    assert!(other.reply(id).await.unwrap()["ok"].is_object());
}

/// Offset of the last position, without its place in the batch.
async fn room_end(socket: &mut e2e::socket::Socket) -> u64 {
    let page = socket.ok("history", json!({"room": ROOM, "limit": 1})).await.unwrap();
    page["pos"].as_u64().unwrap() / 1024 * 1024
}
