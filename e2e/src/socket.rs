//! A bare client of the socket for tests of single frames: no state, no reconnect. Replies are matched by id, everything else is
//! kept in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::http;

/// How long any one reply may take: sends wait up to 5 s for a reader and 5 s for the log.
const LIMIT: Duration = Duration::from_secs(15);

/// What came over a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A JSON object.
    Json(Value),
    /// The end, with its code; 1006 if there was no close frame.
    Closed(u16),
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    pushed: VecDeque<Value>,
    closed: Option<u16>,
}

impl Socket {
    /// Opens it; `connect` is not sent. `authority`: a PEM text to trust for `wss://`.
    pub async fn open(url: &str, authority: Option<&[u8]>) -> Result<Self> {
        http::install_tls();
        let mut request = url.into_client_request().context("not an address of a socket")?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("parlor.v1.json"));
        let connector = authority.map(connector).transpose()?;
        let opening = connect_async_tls_with_config(request, None, true, connector);
        let (stream, _) = timeout(LIMIT, opening).await.context("the socket did not open in time")??;
        Ok(Self { stream, next_id: 1, pushed: VecDeque::new(), closed: None })
    }

    /// Opens it and sends `connect`; gives the reply's `ok`.
    pub async fn connect(url: &str, token: &str) -> Result<(Self, Value)> {
        let mut socket = Self::open(url, None).await?;
        let ok = socket.ok("connect", json!({"token": token})).await?;
        Ok((socket, ok))
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<()> {
        self.stream.send(Message::text(text.into())).await.context("failed to send a frame")
    }

    /// Sends a binary frame.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.stream.send(Message::binary(bytes)).await.context("failed to send a frame")
    }

    /// Sends a command and gives the whole reply, `ok` or `err`.
    pub async fn call(&mut self, verb: &str, body: Value) -> Result<Value> {
        let id = self.command(verb, body).await?;
        self.reply(id).await.with_context(|| format!("no reply to {verb}"))
    }

    /// Sends a command and gives its `ok`; an `err` is an error.
    pub async fn ok(&mut self, verb: &str, body: Value) -> Result<Value> {
        let mut reply = self.call(verb, body).await?;
        match reply["ok"].take() {
            Value::Null => bail!("{verb} was answered with {reply}"),
            ok => Ok(ok),
        }
    }

    /// Sends a command and gives its `err`; an `ok` is an error.
    pub async fn err(&mut self, verb: &str, body: Value) -> Result<Value> {
        let mut reply = self.call(verb, body).await?;
        match reply["err"].take() {
            Value::Null => bail!("{verb} was answered with {reply}"),
            err => Ok(err),
        }
    }

    /// Sends a message and gives the whole reply.
    pub async fn say(&mut self, room: &str, id: &str, text: &str) -> Result<Value> {
        self.call("send", json!({"room": room, "message": {"id": id, "text": text}})).await
    }

    /// Sends a message under a fresh id; gives the id and the reply's `ok`.
    pub async fn said(&mut self, room: &str, text: &str) -> Result<(String, Value)> {
        let id = uuid::Uuid::now_v7().to_string();
        let ok = self.ok("send", json!({"room": room, "message": {"id": id, "text": text}})).await?;
        Ok((id, ok))
    }

    /// Sends a command without waiting; gives its id.
    pub async fn command(&mut self, verb: &str, body: Value) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.send_text(json!({"id": id, verb: body}).to_string()).await?;
        Ok(id)
    }

    /// The reply with this id; pushes that come before it are kept.
    pub async fn reply(&mut self, id: u64) -> Result<Value> {
        loop {
            match self.read(LIMIT).await? {
                Frame::Json(frame) if frame["id"] == id => return Ok(frame),
                Frame::Json(frame) => self.pushed.push_back(frame),
                Frame::Closed(code) => bail!("the socket was closed with {code}"),
            }
        }
    }

    /// A push that came while a reply was waited for.
    pub fn pushed(&mut self) -> Option<Value> {
        self.pushed.pop_front()
    }

    /// Drops what came while a reply was waited for: before a subscription's `ok` only an older one can have sent it.
    pub fn forget_pushed(&mut self) {
        self.pushed.clear();
    }

    /// The next push, or a reply that nobody waited for.
    pub async fn push(&mut self, limit: Duration) -> Result<Value> {
        if let Some(pushed) = self.pushed.pop_front() {
            return Ok(pushed);
        }
        match self.read(limit).await? {
            Frame::Json(frame) => Ok(frame),
            Frame::Closed(code) => bail!("the socket was closed with {code}"),
        }
    }

    /// The next `ev`; any other push but the hint `rooms_changed` is an error.
    pub async fn event(&mut self, limit: Duration) -> Result<Value> {
        let mut push = self.push(limit).await?;
        while push.get("rooms_changed").is_some() {
            push = self.push(limit).await?;
        }
        match push["ev"].take() {
            Value::Null => bail!("an event was to come, not {push}"),
            event => Ok(event),
        }
    }

    /// That nothing comes for so long.
    pub async fn silence(&mut self, time: Duration) -> Result<()> {
        if let Some(pushed) = self.pushed.front() {
            bail!("nothing was to come, but {pushed} did");
        }
        match self.poll(time).await? {
            None => Ok(()),
            Some(frame) => bail!("nothing was to come, but {frame:?} did"),
        }
    }

    /// Reads until the end, and gives its code; frames before it are dropped.
    pub async fn closed(&mut self, limit: Duration) -> Result<u16> {
        let reading = async {
            loop {
                if let Frame::Closed(code) = self.read(limit).await? {
                    return Ok(code);
                }
            }
        };
        timeout(limit, reading).await.with_context(|| format!("not closed within {} s", limit.as_secs()))?
    }

    /// The next frame; that none comes is an error.
    pub async fn read(&mut self, limit: Duration) -> Result<Frame> {
        self.poll(limit).await?.with_context(|| format!("nothing came within {} ms", limit.as_millis()))
    }

    /// The next frame, if one comes within this time. The server's ping is answered here.
    pub async fn poll(&mut self, limit: Duration) -> Result<Option<Frame>> {
        if let Some(code) = self.closed {
            return Ok(Some(Frame::Closed(code)));
        }
        let end = Instant::now() + limit;
        loop {
            let Ok(message) = timeout_at(end, self.stream.next()).await else { return Ok(None) };
            match message {
                Some(Ok(Message::Text(text))) if text.as_str() == "{}" => self.send_text("{}").await?,
                Some(Ok(Message::Text(text))) => {
                    let json = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
                    return Ok(Some(Frame::Json(json)));
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1006, |frame| frame.code.into());
                    self.closed = Some(code);
                    return Ok(Some(Frame::Closed(code)));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => {
                    self.closed = Some(1006);
                    return Ok(Some(Frame::Closed(1006)));
                }
            }
        }
    }
}

fn connector(authority: &[u8]) -> Result<Connector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate.context("failed to read the authority's certificate")?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Connector::Rustls(Arc::new(config)))
}
