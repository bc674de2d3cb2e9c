//! The handshake (RFC 6455, section 4.2): from a request to a WebSocket. By hand, for the raw connection below it: a close
//! frame reaches a peer that is still sending only if somebody reads what it sends.

use super::WebSocket;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use service::problem::{Code, Problem};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// From our answer to the connection behind it.
const LIMIT: Duration = Duration::from_secs(10);
/// Letters of a key: 16 bytes as base64.
const KEY_LETTERS: usize = 24;

/// A request that asks for a WebSocket, as it should.
pub(crate) struct Upgrade {
    connection: OnUpgrade,
    accept: String,
    offered: Vec<String>,
    chosen: Option<&'static str>,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = NoSocket;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoSocket> {
        let has = |name: HeaderName, word: &str| lists(&parts.headers, &name).any(|one| one.eq_ignore_ascii_case(word));
        if parts.method != Method::GET || !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
            return Err(NoSocket::UpgradeRequired("this is a WebSocket: ask for an upgrade, over HTTP/1.1"));
        }
        if !has(header::SEC_WEBSOCKET_VERSION, "13") {
            return Err(NoSocket::UpgradeRequired("only version 13 of the WebSocket protocol is spoken here"));
        }
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LETTERS);
        let key = key.ok_or(NoSocket::BadRequest("Sec-WebSocket-Key is no key"))?;
        let accept = derive_accept_key(key.as_bytes());
        let offered = lists(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        let connection = parts.extensions.remove::<OnUpgrade>();
        let connection = connection.ok_or(NoSocket::BadRequest("this connection cannot be upgraded"))?;
        Ok(Self { connection, accept, offered, chosen: None })
    }
}

impl Upgrade {
    /// Speaks this subprotocol. A client that offers none may go on, one that offers only others may not.
    pub(crate) fn subprotocol(mut self, name: &'static str) -> Result<Self, NoSocket> {
        if self.offered.iter().any(|offered| offered == name) {
            self.chosen = Some(name);
        } else if !self.offered.is_empty() {
            return Err(NoSocket::BadRequest("none of the subprotocols that were offered is spoken here"));
        }
        Ok(self)
    }

    /// Answers the request, and hands the WebSocket to `serve` in a task of its own.
    pub(crate) fn accept<F>(self, most: usize, serve: impl FnOnce(WebSocket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = self.connection;
        tokio::spawn(async move {
            // An error: the client went before it read our answer.
            if let Ok(Ok(upgraded)) = timeout(LIMIT, connection).await {
                // Boxed, so that this task does not carry the whole of `serve` while it waits.
                let socket = WebSocket::new(TokioIo::new(upgraded), most).await;
                Box::pin(serve(socket)).await;
            }
        });
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(chosen) = self.chosen {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
        }
        answer
    }
}

/// The words of a header that is a list, over all its lines.
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// Why a request got no WebSocket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoSocket {
    /// It asks wrongly.
    BadRequest(&'static str),
    /// It does not ask for one.
    UpgradeRequired(&'static str),
}

impl IntoResponse for NoSocket {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(detail) => Problem::new(Code::Invalid, detail).with_status(StatusCode::BAD_REQUEST),
            Self::UpgradeRequired(detail) => {
                let mut answer = Problem::new(Code::Invalid, detail).with_status(StatusCode::UPGRADE_REQUIRED);
                answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                answer
            }
        }
    }
}
