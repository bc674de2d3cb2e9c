//! What tests of one room share: somebody who fills it, sockets that read it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::checker::{Acknowledged, Seen, ordinal};
use e2e::load::{Progress, Talker};
use e2e::person::Person;
use e2e::rig::Rig;
use e2e::socket::Socket;
use serde_json::{Value, json};

/// The room.
pub(crate) const ROOM: &str = "team-a/general";
/// A tenth of it is enough on a quiet machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Sends so many messages over the first gateway, as fast as it takes them; their texts begin with `label`.
pub(crate) async fn fill(rig: &Rig, person: &Person, count: usize, label: &str) -> Vec<Acknowledged> {
    let talker = Talker {
        address: rig.gateway(0).clone(),
        person: person.clone(),
        room: ROOM.to_owned(),
        count,
        window: 128,
        pace: 1_000_000,
        label: label.to_owned(),
    };
    talker.run(Arc::new(Progress::default())).await.unwrap()
}

/// A socket that is subscribed to the room.
pub(crate) async fn subscribed(rig: &Rig, gateway: usize, person: &Person) -> Socket {
    let mut socket = rig.socket(gateway, person).await.unwrap();
    socket.ok("subscribe", json!({"room": ROOM})).await.unwrap();
    socket
}

/// The next message; what else happens in the room is passed by.
pub(crate) async fn next_message(socket: &mut Socket) -> Result<Seen> {
    loop {
        let event = socket.event(SOON).await?;
        if let Some(seen) = Seen::of(&event) {
            return Ok(seen);
        }
        ensure!(event["type"] == "member" || event["type"] == "room", "{event}");
    }
}

/// Where an `ok` says that a message stands.
pub(crate) fn place(ok: &Value) -> (u32, u64) {
    (ordinal(ok["epoch"].as_str().unwrap()).unwrap(), ok["pos"].as_u64().unwrap())
}
