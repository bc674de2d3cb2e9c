//! Resuming is exact wherever the position lies and wherever the events have to come from: the ring, the database, the stream.

use std::time::Duration;

use crate::room::{ROOM, SOON, fill};
use e2e::checker::{Acknowledged, ordinal};
use e2e::load::{self, replay};
use e2e::proxy::Proxy;
use e2e::rawlog::RawLog;
use e2e::rig::{LogRow, Rig, Wiring, stored};
use e2e::socket::Socket;
use serde_json::{Value, json};

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event["type"] == "message")
        .map(|event| event["message"]["id"].as_str().unwrap())
        .collect()
}

fn ids_sent(sent: &[Acknowledged]) -> Vec<&str> {
    let mut in_order: Vec<&Acknowledged> = sent.iter().collect();
    in_order.sort_by_key(|one| one.place);
    in_order.iter().map(|one| one.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_of_an_empty_room_comes_after_a_resume_at_pos_0() {
    let rig = Rig::chat(2, &[ROOM]).await.unwrap();
    let reader = rig.stranger("reader");
    let mut socket = rig.socket(0, &reader).await.unwrap();
    let ok = socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    assert_eq!((&ok["pos"], &ok["recovered"]), (&json!(0), &json!(false)), "the room is not empty: {ok}");
    drop(socket);
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (_, sent) = rig.socket(0, &anna).await.unwrap().said(ROOM, "first").await.unwrap();
    // One gateway still has its reader, the other has none yet; one resumes in `connect`, the other by `subscribe`.
    for gateway in [0, 1] {
        let mut socket = rig.socket(gateway, &reader).await.unwrap();
        let last = sent["pos"].as_u64().unwrap();
        let events = replay(&mut socket, ROOM, ok["epoch"].as_str().unwrap(), 0, last).await.unwrap();
        let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        // That she joined is relayed by itself, before or after what she said.
        let right: [&[&str]; 3] = [&["member", "message"], &["message", "member"], &["message"]];
        assert!(right.contains(&types.as_slice()), "{events:?}");
        let mut socket = Socket::open(&rig.gateway(gateway).socket, None).await.unwrap();
        let at = json!({"room": ROOM, "epoch": ok["epoch"], "pos": 0});
        let ok = socket.ok("connect", json!({"token": reader.access_token, "rooms": [at]})).await.unwrap();
        assert_eq!(ok["rooms"][0]["recovered"], true, "{ok}");
        assert_eq!(ok["rooms"][0]["events"].as_array().unwrap()[..events.len()], events[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_after_1_000_missed_events_gets_exactly_those_merged_with_live_ones() {
    let mut rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let (anna, reader) = (rig.member("anna", ROOM).await.unwrap(), rig.stranger("reader"));
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let (_, seen) = socket.said(ROOM, "the last that the reader saw").await.unwrap();
    let (epoch, pos) = (seen["epoch"].as_str().unwrap(), seen["pos"].as_u64().unwrap());
    let mut sent = fill(&rig, &anna, 1_000, "xxxxxxxxxx").await;
    // One gateway may have all of it in memory; the other was not there and has to ask.
    let cold = rig.start_gateway(&rig.wiring()).await.unwrap();
    // While both resume, a thousand more are said.
    let live = fill(&rig, &anna, 1_000, "xxxxxxxxxx");
    let resumed = async |gateway: usize| {
        let mut socket = rig.socket(gateway, &reader).await.unwrap();
        let at = json!({"room": ROOM, "epoch": epoch, "pos": pos});
        let ok = socket.ok("subscribe", at).await.unwrap();
        assert_eq!(ok["recovered"], true, "on gateway {gateway}: {ok}");
        let mut events = ok["events"].as_array().unwrap().clone();
        while ids(&events).len() < 2_000 {
            events.push(socket.event(SOON).await.unwrap());
        }
        events
    };
    let (live, warm, cold) = tokio::join!(live, resumed(0), resumed(cold));
    sent.extend(live);
    for events in [warm, cold] {
        assert_eq!(ids(&events), ids_sent(&sent));
        let positions: Vec<u64> = events.iter().map(|event| event["pos"].as_u64().unwrap()).collect();
        assert!(positions[0] > pos && positions.is_sorted_by(|one, next| one < next), "{positions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_epoch_or_past_the_end_is_not_recovered_and_nothing_is_pretended() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let mut socket = rig.socket(0, &anna).await.unwrap();
    let (_, sent) = socket.said(ROOM, "hello").await.unwrap();
    let beyond = sent["pos"].as_u64().unwrap() + 1_024 * 50;
    for at in [json!({"epoch": "7-abcdef", "pos": 1_024}), json!({"epoch": sent["epoch"], "pos": beyond})] {
        let mut body = at.clone();
        body["room"] = json!(ROOM);
        let ok = socket.ok("subscribe", body).await.unwrap();
        // Her joining may stand behind it.
        let end = sent["pos"].as_u64().unwrap();
        assert_eq!(ok["recovered"], false, "from {at}: {ok}");
        assert!((end..end + 2_048).contains(&ok["pos"].as_u64().unwrap()), "from {at}: {ok}");
        assert_eq!(ok["events"], json!([]), "from {at}: {ok}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_slow_loses_nothing() {
    let rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let (anna, slow) = (rig.member("anna", ROOM).await.unwrap(), rig.stranger("slow"));
    let mut socket = rig.socket(0, &slow).await.unwrap();
    let ok = socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    // It reads nothing while more comes than any outbound queue and socket buffer holds.
    let sent = fill(&rig, &anna, 6_000, &"x".repeat(4_000)).await;
    let last = sent.iter().map(|one| one.place.1).max().unwrap();
    let (epoch, mut pos) = (ok["epoch"].as_str().unwrap().to_owned(), ok["pos"].as_u64().unwrap());
    let mut got: Vec<Value> = Vec::new();
    let mut lagged = false;
    while pos < last {
        match socket.push(Duration::from_secs(20)).await {
            Ok(frame) if frame.get("ev").is_some() => {
                pos = frame["ev"]["pos"].as_u64().unwrap();
                got.push(frame["ev"].clone());
            }
            Ok(frame) if frame.get("lagged").is_some() => {
                assert!(frame["lagged"]["from"].as_u64().unwrap() > pos, "{frame} after {pos}");
                lagged = true;
                break;
            }
            Ok(frame) => assert!(frame.get("disconnect").is_some(), "{frame}"),
            Err(_) => {
                // The frame that says 3008 may find no room in a connection that is full: then it just ends.
                let code = socket.closed(SOON).await.unwrap();
                assert!([3008, 1006].contains(&code), "{code}");
                lagged = true;
                socket = rig.socket(0, &slow).await.unwrap();
                break;
            }
        }
    }
    assert!(lagged, "it was not slow enough: this shows nothing");
    got.extend(replay(&mut socket, ROOM, &epoch, pos, last).await.unwrap());
    assert_eq!(ids(&got), ids_sent(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_from_inside_a_message_of_many_events_is_exact() {
    let mut rig = Rig::chat(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let sent = fill(&rig, &anna, 1_000, "xxxxxxxxxx").await;
    let pool = rig.database.pool().await.unwrap();
    let log = LogRow::newest(&pool, ROOM).await.unwrap();
    let messages = RawLog::connect(&rig.vhost.admin_url).await.unwrap().read(&log.stream).await.unwrap();
    let sizes: Vec<usize> = messages.iter().map(|message| message.events().unwrap().len()).collect();
    let (largest, size) = sizes.iter().enumerate().max_by_key(|(_, size)| **size).unwrap();
    assert!(*size > 1, "no message holds more than one event, so this shows nothing: {sizes:?}");
    println!("{} events in {} messages, {size} at most", sizes.iter().sum::<usize>(), sizes.len());

    let in_order = ids_sent(&sent);
    let last = sent.iter().map(|one| one.place.1).max().unwrap();
    stored(&pool, ROOM, (ordinal(&log.epoch).unwrap(), last), SOON).await.unwrap();
    // A gateway that was not there has nothing in its ring: it has to ask the database.
    let cold = rig.start_gateway(&rig.wiring()).await.unwrap();
    let offset = messages[largest].offset;
    for gateway in [0, cold] {
        for index in [0, size / 2, size - 1] {
            let pos = contract::position::pos(offset, index);
            let mut socket = rig.socket(gateway, &anna).await.unwrap();
            let events = replay(&mut socket, ROOM, &log.epoch, pos, last).await.unwrap();
            let after = sent.iter().filter(|one| one.place.1 > pos).count();
            assert_eq!(ids(&events), in_order[in_order.len() - after..], "from index {index} on gateway {gateway}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_historian_stopped_and_the_ring_evicted_a_resume_of_5_000_events_is_exact_from_the_stream() {
    let mut rig = Rig::chat_split(1, &[ROOM]).await.unwrap();
    let anna = rig.member("anna", ROOM).await.unwrap();
    let (_, before) = rig.socket(0, &anna).await.unwrap().said(ROOM, "before").await.unwrap();
    let epoch = before["epoch"].as_str().unwrap();
    let pool = rig.database.pool().await.unwrap();
    let at = before["pos"].as_u64().unwrap();
    // Ten megabytes: more than any ring holds. Half of it is stored, and the gateways keep the other half until it is.
    let mut sent = fill(&rig, &anna, 2_500, &"x".repeat(2_000)).await;
    let half = sent.iter().map(|one| one.place).max().unwrap();
    stored(&pool, ROOM, half, Duration::from_mins(1)).await.unwrap();
    rig.gateways[1].program.kill().unwrap();
    sent.extend(fill(&rig, &anna, 2_500, &"x".repeat(2_000)).await);
    let last = sent.iter().map(|one| one.place.1).max().unwrap();
    assert_eq!(load::messages(&pool, ROOM).await.unwrap().messages.len(), 2_501, "somebody stored without a historian");

    let postgres = Proxy::start(&rig.database.url).await.unwrap();
    let wiring = Wiring { roles: "gateway", database_url: postgres.url(&rig.database.url), ..rig.wiring() };
    let cold = rig.start_gateway(&wiring).await.unwrap();
    let exact = async |gateway: usize| {
        let mut socket = rig.socket(gateway, &anna).await.unwrap();
        let events = replay(&mut socket, ROOM, epoch, at, last).await.unwrap();
        assert_eq!(ids(&events), ids_sent(&sent), "on gateway {gateway}");
    };
    exact(0).await;
    exact(cold).await;
    // What is stored has to come from the stream too when the database does not answer.
    postgres.refuse(true);
    postgres.cut_where(|_| true);
    exact(cold).await;
    let pages = rig.metric(cold, "parlor_log_replay_pages_total{source=\"stream\"}").await.unwrap();
    assert!(pages > 0.0, "nothing was read from the stream");
}
