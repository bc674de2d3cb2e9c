//! Waits until the operator has made the rooms, and says which manifests are not right.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::http;
use crate::layout::Layout;
use crate::wait;

/// A thousand rooms take some seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// Rooms that are still not ready when nothing has changed for so long have a reason that waiting does not cure.
const PATIENCE: Duration = Duration::from_secs(15);

/// `GET /status` of the operator.
#[derive(Deserialize, Default, PartialEq)]
struct Status {
    rooms: Vec<Entry>,
    #[serde(default)]
    files: Vec<Entry>,
}

/// A room or a file.
#[derive(Deserialize, PartialEq)]
struct Entry {
    #[serde(alias = "file")]
    room: String,
    ready: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Entry {
    fn complaint(&self) -> Option<String> {
        let text = |word: &Option<String>| word.clone().unwrap_or_default();
        (!self.ready).then(|| format!("{}: {} {}", self.room, text(&self.reason), text(&self.message)))
    }
}

/// How many rooms are ready, and what is wrong with the others and with files.
pub(crate) struct Outcome {
    pub(crate) ready: usize,
    pub(crate) all: usize,
    pub(crate) complaints: Vec<String>,
}

/// Waits for all rooms; those that do not get ready are told, not failed on: a wrong manifest never stops the good ones.
pub(crate) fn wait_ready(layout: &Layout) -> Result<Outcome> {
    let url = format!("http://127.0.0.1:{}/status", layout.operator());
    let mut last = Status::default();
    let mut changed = Instant::now();
    let settled = wait::until(LIMIT, || {
        let Ok(status) = read(&url) else { return Ok(None) };
        let done = !status.files.is_empty() && status.rooms.iter().all(|room| room.ready);
        if status != last {
            changed = Instant::now();
            last = status;
        }
        Ok((done || changed.elapsed() > PATIENCE).then_some(()))
    })?;
    let mut complaints: Vec<String> = last.files.iter().chain(&last.rooms).filter_map(Entry::complaint).collect();
    if settled.is_none() {
        complaints.push(format!("rooms were still changing after {} s", LIMIT.as_secs()));
    }
    Ok(Outcome { ready: last.rooms.iter().filter(|room| room.ready).count(), all: last.rooms.len(), complaints })
}

fn read(url: &str) -> Result<Status> {
    let answer = http::get(url)?;
    serde_json::from_str(&answer.body).context("the operator's status is no JSON of the protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_as_the_protocol_writes_it_is_understood() {
        let text = r#"{"rooms":[{"room":"team-a/general","ready":false,"reason":"MembersUnresolved","message":"alice","epoch":"1-abcdef","stream":"s"}],
            "files":[{"file":"general.yaml","ready":true,"reason":"","message":""}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.rooms[0].complaint().unwrap(), "team-a/general: MembersUnresolved alice");
        assert_eq!(status.files[0].complaint(), None);
    }
}
