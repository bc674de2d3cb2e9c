//! The socket: one handshake, then it is a session's.

use crate::session;
use crate::state::State;
use crate::websocket::{MESSAGE_BYTES, NoSocket, Upgrade};
use axum::extract;
use axum::response::Response;

/// What is spoken on it.
const SUBPROTOCOL: &str = "parlor.v1.json";

/// The WebSocket, described at `/asyncapi.json`. A client that offers no subprotocol is taken to mean this one.
#[utoipa::path(get, path = "/v1/ws", tag = "socket",
    params(("Sec-WebSocket-Protocol" = Option<String>, Header, example = "parlor.v1.json")),
    responses((status = SWITCHING_PROTOCOLS, description = "From here on the socket's protocol is spoken."),
        (status = BAD_REQUEST, description = "Another subprotocol was asked for."),
        (status = UPGRADE_REQUIRED, description = "The request asked for no WebSocket.")))]
pub(crate) async fn open(extract::State(state): extract::State<State>, upgrade: Upgrade) -> Result<Response, NoSocket> {
    let upgrade = upgrade.subprotocol(SUBPROTOCOL)?;
    Ok(upgrade.accept(MESSAGE_BYTES, move |socket| session::run(state, socket)))
}
