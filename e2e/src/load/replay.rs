//! One subscription from a given position, read until it is complete: what a resume must give exactly.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::socket::Socket;

/// Between two events of a replay.
const LIMIT: Duration = Duration::from_secs(20);

/// Subscribes at (epoch, pos) and reads until the event at `last`; gives all events in the order they came. `recovered` must be
/// true, and nothing at or below `pos` may come.
pub async fn replay(socket: &mut Socket, room: &str, epoch: &str, pos: u64, last: u64) -> Result<Vec<Value>> {
    let id = socket.command("subscribe", json!({"room": room, "epoch": epoch, "pos": pos})).await?;
    let mut reply = socket.reply(id).await?;
    socket.forget_pushed();
    let ok = reply["ok"].take();
    ensure!(ok.is_object(), "subscribe was answered with {reply}");
    ensure!(ok["recovered"] == true, "not recovered: {ok}");
    let mut events = ok["events"].as_array().cloned().context("a reply without events")?;
    ensure!(events.len() <= 500, "{} events in one reply", events.len());
    let mut at = events.last().map_or(pos, position);
    // A reader that is still catching up covers less than the log has: the rest is live for it.
    let covered = position(&ok) >= last;
    ensure!(ok["more"] == true || at >= last || !covered, "no more is announced at {at}, {last} was to come");
    while at < last {
        let event = socket.event(LIMIT).await.with_context(|| format!("at {at} of {last}"))?;
        at = position(&event);
        events.push(event);
    }
    ensure!(events.windows(2).all(|pair| position(&pair[0]) < position(&pair[1])), "positions do not grow");
    ensure!(events.first().is_none_or(|event| position(event) > pos), "something at or below {pos} came");
    Ok(events)
}

fn position(event: &Value) -> u64 {
    event["pos"].as_u64().unwrap_or(0)
}
