//! Limits as they are by default.

use crate::util::{ROOM, SOON, message, post};
use e2e::rig::{Rig, Wiring};
use e2e::socket::{Frame, Socket};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_commands_have_limits_that_say_when_to_try_again() {
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    rig.write_room(ROOM, &json!({"limits": {"messagesPerSecond": 1, "burst": 10, "messageBytes": 100}})).unwrap();
    let wiring = Wiring { rate_limits: true, ..rig.wiring() };
    rig.start_gateway(&wiring).await.unwrap();
    rig.start_operator().await.unwrap();
    rig.rooms_ready(1, SOON).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let err = socket.err("send", json!({"room": ROOM, "message": message(&"x".repeat(101))})).await.unwrap();
    assert_eq!(err["code"], "too_large");

    // The burst goes through; then each answer says how long to wait, and that is true.
    let (began, mut waits) = (Instant::now(), Vec::new());
    for _ in 0..30 {
        let reply = socket.call("send", json!({"room": ROOM, "message": message("x")})).await.unwrap();
        if let Some(wait) = reply["err"]["retry_after_ms"].as_u64() {
            assert_eq!((&reply["err"]["code"], &reply["err"]["temporary"]), (&json!("rate_limited"), &json!(true)));
            waits.push(wait);
        }
    }
    // One more for each second that it took.
    let (taken, seconds) = (30 - waits.len() as u64, began.elapsed().as_secs());
    assert!((10..=11 + seconds).contains(&taken), "{taken} of 30 were taken in {seconds} s");
    let (status, problem) = post(&rig, &anna, &format!("/v1/rooms/{ROOM}/messages"), message("x")).await;
    assert_eq!((status, &problem["code"]), (429, &json!("rate_limited")));
    tokio::time::sleep(Duration::from_millis(waits.last().unwrap() + 250)).await;
    socket.said(ROOM, "again").await.unwrap();

    // Fifty commands at once; what is more is refused by its id, and after ten seconds of it the socket goes.
    let mut fast = Socket::connect(&rig.gateway(0).socket, &anna.access_token).await.unwrap().0;
    let start = Instant::now();
    let mut refused = 0;
    let code = 'socket: loop {
        for _ in 0..30 {
            if fast.command("unsubscribe", json!({"room": ROOM})).await.is_err() {
                break 'socket fast.closed(SOON).await.unwrap();
            }
        }
        while let Some(frame) = fast.poll(Duration::from_millis(20)).await.unwrap() {
            match frame {
                Frame::Json(frame) if frame["err"]["code"] == "rate_limited" => refused += 1,
                Frame::Json(_) => {}
                Frame::Closed(code) => break 'socket code,
            }
        }
        assert!(start.elapsed() < Duration::from_secs(40), "still there after {refused} refusals");
    };
    assert!(refused > 100 && start.elapsed() > Duration::from_secs(10), "{refused} in {:?}", start.elapsed());
    assert!([3013, 1006].contains(&code), "{code}");
}
