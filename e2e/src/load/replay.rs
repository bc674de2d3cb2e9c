//! One subscription from a given position, read until it is complete: what a resume must give exactly.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::socket::Socket;

/// Between two events of a replay.
const LIMIT: Duration = Duration::from_secs(20);
/// Of somebody who reads as fast as this does.
const LAGS_MOST: usize = 1_000;

/// Subscribes at (epoch, pos) and reads until the event at `last`; gives all events in the order they came. `recovered` must be
/// true, and nothing at or below `pos` may come. After `lagged` it subscribes again where it is, as every client does.
pub async fn replay(socket: &mut Socket, room: &str, epoch: &str, pos: u64, last: u64) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    let mut at = pos;
    let mut lags = 0;
    while at < last {
        subscribe(socket, room, epoch, at, last, &mut events).await?;
        at = events.last().map_or(pos, position);
        while at < last {
            let mut push = socket.push(LIMIT).await.with_context(|| format!("at {at} of {last}"))?;
            let event = push["ev"].take();
            if event.is_object() {
                at = position(&event);
                events.push(event);
            } else if push["lagged"].is_object() {
                ensure!(push["lagged"]["from"].as_u64().is_some_and(|from| from > at), "lagged below {at}: {push}");
                lags += 1;
                ensure!(lags < LAGS_MOST, "lagged {lags} times up to {at} of {last}");
                break;
            } else {
                ensure!(push.get("rooms_changed").is_some(), "an event was to come, not {push}");
            }
        }
    }
    ensure!(events.windows(2).all(|pair| position(&pair[0]) < position(&pair[1])), "positions do not grow");
    ensure!(events.first().is_none_or(|event| position(event) > pos), "something at or below {pos} came");
    Ok(events)
}

/// Adds what comes with the answer.
async fn subscribe(
    socket: &mut Socket,
    room: &str,
    epoch: &str,
    at: u64,
    last: u64,
    events: &mut Vec<Value>,
) -> Result<()> {
    let id = socket.command("subscribe", json!({"room": room, "epoch": epoch, "pos": at})).await?;
    let mut reply = socket.reply(id).await?;
    socket.forget_pushed();
    let ok = reply["ok"].take();
    ensure!(ok.is_object(), "subscribe was answered with {reply}");
    ensure!(ok["recovered"] == true, "not recovered: {ok}");
    let first = ok["events"].as_array().context("a reply without events")?;
    ensure!(first.len() <= 500, "{} events in one reply", first.len());
    events.extend(first.iter().cloned());
    let at = first.last().map_or(at, position);
    // A reader that is still catching up covers less than the log has: the rest is live for it.
    let covered = position(&ok) >= last;
    ensure!(ok["more"] == true || at >= last || !covered, "no more is announced at {at}, {last} was to come");
    Ok(())
}

fn position(event: &Value) -> u64 {
    event["pos"].as_u64().unwrap_or(0)
}
