//! Many manifests become rooms, each of which takes messages from the instant on that it says it is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::person::Person;
use e2e::rig::Rig;
use e2e::wait;
use futures::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Over REST, which needs no socket.
async fn send(rig: &Rig, person: &Person, room: &str) -> Result<(StatusCode, Value)> {
    let url = format!("{}/v1/rooms/{room}/messages", rig.gateway(0).http);
    let body = json!({"id": uuid::Uuid::now_v7(), "text": "hello"});
    let answer = rig.http.post(url).json(&body).bearer_auth(&person.access_token).send().await?;
    Ok((answer.status(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instant_a_room_says_ready_a_message_to_it_succeeds_for_200_rooms() {
    const ROOMS: usize = 200;
    let mut rig = Rig::new().await.unwrap();
    rig.start_users().await.unwrap();
    let anna = rig.register("anna").await.unwrap();
    let name = |number: usize| format!("many/room-{number:04}");
    for number in 0..ROOMS {
        // A member by manifest: nobody has to join first.
        rig.write_room(&name(number), &json!({"members": [{"user": "anna", "role": "Member"}]})).unwrap();
    }
    rig.start_gateway(&rig.wiring()).await.unwrap();
    let start = std::time::Instant::now();
    rig.start_operator().await.unwrap();
    let mut sent: BTreeSet<String> = BTreeSet::new();
    let mut refused: Vec<String> = Vec::new();
    wait::until(Duration::from_mins(3), "all rooms ready", async || {
        let (ready, complaints) = look(&rig, &anna, &sent).await?;
        sent.extend(ready);
        refused.extend(complaints);
        ensure!(sent.len() == ROOMS, "{} are ready", sent.len());
        Ok(Some(()))
    })
    .await
    .unwrap();
    println!("{ROOMS} rooms, one message each: {:.1} s", start.elapsed().as_secs_f64());
    assert!(refused.is_empty(), "{} were refused, as {:?}", refused.len(), refused.first());
}

/// Sends into each room that has become ready; gives those rooms, and what was not taken.
async fn look(rig: &Rig, anna: &Person, known: &BTreeSet<String>) -> Result<(Vec<String>, Vec<String>)> {
    let status = rig.status().await?;
    let rooms = status["rooms"].as_array().cloned().unwrap_or_default();
    let ready: Vec<String> = rooms
        .iter()
        .filter(|room| room["ready"] == true)
        .filter_map(|room| room["room"].as_str().map(str::to_owned))
        .filter(|room| !known.contains(room))
        .collect();
    let answers: Vec<_> = futures::stream::iter(&ready)
        .map(|room| async move { (room, send(rig, anna, room).await) })
        .buffer_unordered(64)
        .collect()
        .await;
    let mut complaints = Vec::new();
    for (room, answer) in answers {
        let (status, body) = answer?;
        if status != 201 {
            complaints.push(format!("{room}: {status} {body}"));
        }
    }
    Ok((ready, complaints))
}
