//! How sockets end: tokens, sessions, silence, slowness and a gateway that stops.

use crate::util::{Bare, ROOM, SOON, chat, ended, get, message, pushed};
use e2e::keys::unix_seconds;
use e2e::load::Reader;
use e2e::rig::Rig;
use e2e::signal::Signal;
use e2e::socket::{Frame, Socket};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Messages of 8 kB: more than the system's buffers on both ends of a socket take.
const COUNT: usize = 2_500;

fn short_lived(rig: &Rig, seconds: u64) -> (String, String) {
    let id = Uuid::now_v7().to_string();
    let claims =
        json!({"sub": id, "sid": Uuid::now_v7(), "preferred_username": "short", "exp": unix_seconds() + seconds});
    (rig.token(&claims), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_is_announced_and_a_newer_one_goes_on() {
    let rig = chat(1, &[ROOM]).await;
    let (token, id) = short_lived(&rig, 5);
    let (mut ends, _) = Socket::connect(&rig.gateway(0).socket, &token).await.unwrap();
    let (mut goes_on, _) = Socket::connect(&rig.gateway(0).socket, &token).await.unwrap();
    assert!(pushed(&mut ends, "auth_expiring").await["in_ms"].as_u64().unwrap() <= 5_000);
    let newer = rig.token(&json!({"sub": id, "sid": Uuid::now_v7(), "preferred_username": "short"}));
    let ok = goes_on.ok("refresh", json!({"token": newer})).await.unwrap();
    assert!(ok["expires_in_ms"].as_u64().unwrap() > 500_000, "{ok}");
    let (others, _) = short_lived(&rig, 100);
    assert_eq!(goes_on.err("refresh", json!({"token": others})).await.unwrap()["code"], "invalid");
    assert_eq!(goes_on.err("refresh", json!({"token": "x"})).await.unwrap()["code"], "unauthenticated");
    assert_eq!(pushed(&mut ends, "disconnect").await["code"], 3005);
    assert_eq!(ends.closed(SOON).await.unwrap(), 3005);
    goes_on.ok("history", json!({"room": ROOM})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_loses_its_sockets_everywhere_within_five_seconds() {
    let rig = chat(2, &[ROOM]).await;
    let (anna, bert) = (rig.register("anna").await.unwrap(), rig.register("bert").await.unwrap());
    let mut sockets = [rig.socket(0, &anna).await.unwrap(), rig.socket(1, &anna).await.unwrap()];
    let mut other = rig.socket(0, &bert).await.unwrap();
    let logout = rig.http.post(format!("{}/v1/logout", rig.issuer())).bearer_auth(&anna.access_token);
    assert_eq!(logout.send().await.unwrap().status(), 204);
    let start = Instant::now();
    for socket in &mut sockets {
        assert_eq!(pushed(socket, "disconnect").await["code"], 3503);
        assert_eq!(socket.closed(SOON).await.unwrap(), 3503);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let (status, problem) = get(&rig, &anna, "/v1/rooms").await;
    assert_eq!((status, &problem["code"], &problem["reason"]), (401, &json!("unauthenticated"), &json!("revoked")));
    let mut again = Socket::open(&rig.gateway(1).socket, None).await.unwrap();
    assert_eq!(again.err("connect", json!({"token": anna.access_token})).await.unwrap()["code"], "unauthenticated");
    assert_eq!(again.closed(SOON).await.unwrap(), 3503);
    other.ok("history", json!({"room": ROOM})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_let_go() {
    let rig = chat(1, &[ROOM]).await;
    let anna = rig.stranger("anna");
    let url = rig.gateway(0).socket.clone();
    let never_connects = async {
        let start = Instant::now();
        let mut bare = Bare::open(&url, Some("parlor.v1.json")).await;
        assert!(bare.next(SOON).await.unwrap().contains("3501"));
        assert_eq!(bare.next(SOON).await, Err(3501));
        assert!((9..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    };
    let long = Duration::from_secs(45);
    let connect = json!({"id": 1, "connect": {"token": anna.access_token}});
    let answers_no_ping = async {
        let mut bare = Bare::open(&url, Some("parlor.v1.json")).await;
        bare.say(connect.clone()).await;
        assert!(bare.next(SOON).await.unwrap().contains("ok"));
        let start = Instant::now();
        assert_eq!(bare.next(long).await.unwrap(), "{}");
        assert!((22..35).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(bare.next(long).await.unwrap().contains("3012"));
        assert_eq!(bare.next(long).await, Err(3012));
    };
    let answers_with_a_command = async {
        let mut bare = Bare::open(&url, Some("parlor.v1.json")).await;
        bare.say(connect.clone()).await;
        assert!(bare.next(SOON).await.unwrap().contains("ok"));
        assert_eq!(bare.next(long).await.unwrap(), "{}");
        bare.say(json!({"id": 2, "history": {"room": ROOM}})).await;
        assert!(bare.next(SOON).await.unwrap().contains("messages"));
        // That was an answer: nothing comes when the ten seconds are over.
        let nothing = tokio::time::timeout(Duration::from_secs(12), bare.next(long)).await;
        assert!(nothing.is_err(), "{nothing:?}");
    };
    tokio::join!(never_connects, answers_no_ping, answers_with_a_command);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_answers_what_is_on_its_way_and_tells_its_sockets_to_go_elsewhere() {
    let mut rig = chat(1, &[ROOM]).await;
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(rig.socket(0, &anna).await.unwrap());
    }
    let mut waiting = Socket::open(&rig.gateway(0).socket, None).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..20 {
        let body = json!({"room": ROOM, "message": message(&format!("number {number}"))});
        ids.push(sockets[0].command("send", body).await.unwrap());
    }
    sockets[0].reply(ids[0]).await.unwrap();
    rig.gateways[0].program.signal(Signal::Terminate).unwrap();
    let (mut answered, mut told) = (1, false);
    loop {
        match sockets[0].read(SOON).await.unwrap() {
            Frame::Json(frame) if frame["id"].is_u64() => answered += usize::from(frame["ok"].is_object()),
            Frame::Json(frame) if frame["disconnect"].is_object() => {
                assert_eq!(frame["disconnect"]["code"], 3001);
                assert!(frame["disconnect"]["retry_after_ms"].is_u64());
                told = true;
            }
            Frame::Json(_) => {}
            Frame::Closed(code) => {
                assert_eq!(code, 3001);
                break;
            }
        }
    }
    // What was read before the word to stop is answered; the rest was not taken.
    assert!(told && answered >= 1, "{answered}");
    for socket in sockets[1..].iter_mut().chain([&mut waiting]) {
        assert_eq!(socket.closed(SOON).await.unwrap(), 3001);
    }
    let status = ended(&mut rig.gateways[0].program).await;
    assert!(status.success(), "{status}");
}

/// Replies come in any order.
async fn all_are_ok(socket: &mut Socket, open: &mut Vec<u64>) {
    while !open.is_empty() {
        let frame = socket.push(SOON).await.unwrap();
        if let Some(id) = frame["id"].as_u64() {
            assert!(frame["ok"].is_object(), "{frame}");
            open.retain(|other| *other != id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_lagged_or_closed_and_delays_nobody() {
    let rig = chat(1, &[ROOM]).await;
    let (anna, bert) = (rig.member("anna", ROOM).await.unwrap(), rig.member("bert", ROOM).await.unwrap());
    let mut slow = Bare::open(&rig.gateway(0).socket, Some("parlor.v1.json")).await;
    slow.say(json!({"id": 1, "connect": {"token": bert.access_token, "rooms": [{"room": ROOM}]}})).await;
    assert!(slow.next(SOON).await.unwrap().contains("ok"));
    // Reads all the time, and subscribes again where it was too slow for a moment.
    let quick = Reader::start(rig.gateway(0), &bert, ROOM).await.unwrap();
    let mut sender = rig.socket(0, &anna).await.unwrap();
    let text = "x".repeat(8_000);
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..COUNT {
        open.push(sender.command("send", json!({"room": ROOM, "message": message(&text)})).await.unwrap());
        if open.len() == 50 {
            all_are_ok(&mut sender, &mut open).await;
        }
    }
    quick.wait_for(COUNT, SOON * 2).await.unwrap();
    let (view, _) = quick.stop().unwrap();
    assert_eq!(view.messages.len(), COUNT);
    // The slow one: in order as far as it goes, then told what it missed, or let go.
    let mut last = 0;
    let end = loop {
        match slow.next(SOON).await {
            Err(code) => break code,
            Ok(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if let Some(pos) = frame["ev"]["pos"].as_u64() {
                    assert!(pos > last);
                    last = pos;
                } else if let Some(from) = frame["lagged"]["from"].as_u64() {
                    assert!(from > last && frame["lagged"]["to"].as_u64() >= Some(from), "{text}");
                    break 0;
                }
            }
        }
    };
    assert!([0, 3008, 1006].contains(&end), "{end}");
    if end == 0 {
        // Exactly what follows is there for the asking.
        let room = sender.ok("subscribe", json!({"room": ROOM})).await.unwrap();
        let at = json!({"id": 2, "subscribe": {"room": ROOM, "epoch": room["epoch"], "pos": last}});
        slow.say(at).await;
        let reply = loop {
            let frame: Value = serde_json::from_str(&slow.next(SOON).await.unwrap()).unwrap();
            if frame["id"] == 2 {
                break frame;
            }
        };
        assert_eq!(reply["ok"]["recovered"], true, "{reply}");
    }
}
