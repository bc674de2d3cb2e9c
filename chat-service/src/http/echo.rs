//! A WebSocket that says what it hears, on the same stack as the socket: for conformance tests of RFC 6455.

use crate::websocket::{Incoming, Step, Upgrade, WebSocket};
use axum::response::Response;
use std::time::Duration;
use tokio::time::timeout;

/// The tests send large messages too.
const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Nobody tests for longer without a word.
const IDLE_LIMIT: Duration = Duration::from_mins(1);

/// `GET /v1/echo`, only where it was asked for.
pub(crate) async fn open(upgrade: Upgrade) -> Response {
    upgrade.accept(MESSAGE_BYTES, echo)
}

async fn echo(mut socket: WebSocket) {
    loop {
        let reads = !socket.is_full();
        let Ok(step) = timeout(IDLE_LIMIT, socket.next(reads)).await else { return };
        match step {
            Step::Frame(Incoming::Text(text)) => socket.push(text.into()),
            Step::Frame(Incoming::Binary(bytes)) => socket.push_binary(bytes),
            Step::Frame(Incoming::Control) | Step::Drained => {}
            Step::Frame(Incoming::Over(code)) => return socket.close(code).await,
        }
    }
}
