//! The server's side of one WebSocket: small buffers, an outbound queue that is written while one reads, and the closing
//! handshake. What the frames say is the business of others.

mod upgrade;

pub(crate) use upgrade::{NoSocket, Upgrade};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Largest message of a client.
pub(crate) const MESSAGE_BYTES: usize = 64 * 1024;
/// Both buffers of the protocol are allocated or kept for each socket: an idle one costs little only if they are small.
const BUFFER: usize = 4 * 1024;
/// More than this waits to be written: what can wait elsewhere does.
const HIGH: usize = 64 * 1024;
/// Less than this waits: there is room again.
const LOW: usize = 16 * 1024;
/// Several objects share a frame up to this size, for clients that allow it.
const LINES_BYTES: usize = 16 * 1024;
/// How long the peer may take for its part of the closing handshake, and a last write for its.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// What a peer may still send while we close.
const CLOSE_BYTES: usize = 16 * 1024 * 1024;

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A ping, which is answered by itself, or a pong.
    Control,
    /// Nothing more comes. `Some`: because of this mistake of the peer, which is to be told with this code.
    Over(Option<u16>),
}

/// What happened next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something came.
    Frame(Incoming),
    /// There is room again to write.
    Drained,
}

/// A message that waits.
struct Outgoing {
    bytes: Bytes,
    kind: Data,
}

/// One WebSocket.
pub(crate) struct WebSocket<S = TokioIo<Upgraded>> {
    stream: WebSocketStream<S>,
    queue: VecDeque<Outgoing>,
    queued: usize,
    /// Something was handed to the protocol and is not known to be written.
    unflushed: bool,
    full: bool,
    blocked_since: Option<Instant>,
    lines: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// After the handshake. `most`: the largest message that is taken.
    pub(crate) async fn new(io: S, most: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self {
            stream,
            queue: VecDeque::new(),
            queued: 0,
            unflushed: false,
            full: false,
            blocked_since: None,
            lines: false,
        }
    }

    /// The peer takes several objects in one frame, one a line.
    pub(crate) fn allow_lines(&mut self) {
        self.lines = true;
    }

    /// Puts a text message (which has to be UTF-8) into the queue.
    pub(crate) fn push(&mut self, text: Bytes) {
        self.queue(text, Data::Text);
    }

    /// Puts a binary message into the queue.
    pub(crate) fn push_binary(&mut self, bytes: Bytes) {
        self.queue(bytes, Data::Binary);
    }

    fn queue(&mut self, bytes: Bytes, kind: Data) {
        self.queued += bytes.len();
        self.queue.push_back(Outgoing { bytes, kind });
        self.full |= self.queued > HIGH;
    }

    /// So much waits that what can wait elsewhere should.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Something is not known to be written.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.unflushed || !self.queue.is_empty()
    }

    /// Since when the peer takes nothing, although there is something for it.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }

    /// Writes what waits, and reads if `read`. Cancel-safe.
    pub(crate) async fn next(&mut self, read: bool) -> Step {
        poll_fn(|context| self.poll(context, read)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, read: bool) -> Poll<Step> {
        if let Err(error) = self.write(context) {
            return Poll::Ready(Step::Frame(Incoming::Over(mistake(&error))));
        }
        if self.full && self.queued < LOW {
            self.full = false;
            return Poll::Ready(Step::Drained);
        }
        if !read {
            return Poll::Pending;
        }
        self.stream.poll_next_unpin(context).map(|message| Step::Frame(incoming(message)))
    }

    /// As far as it goes now.
    fn write(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        loop {
            if self.stream.poll_ready_unpin(context)?.is_pending() {
                self.blocked_since.get_or_insert_with(Instant::now);
                return Ok(());
            }
            let Some(Outgoing { bytes, kind }) = self.take() else { break };
            self.blocked_since = None;
            self.unflushed = true;
            metrics::counter!("parlor_socket_sent_bytes_total").increment(bytes.len() as u64);
            // A frame made by hand: the text is known to be UTF-8, and checking it once a socket would cost most of a fan-out.
            self.stream.start_send_unpin(Message::Frame(Frame::message(bytes, OpCode::Data(kind), true)))?;
        }
        if self.unflushed {
            if self.stream.poll_flush_unpin(context)?.is_pending() {
                self.blocked_since.get_or_insert_with(Instant::now);
                return Ok(());
            }
            self.unflushed = false;
        }
        self.blocked_since = None;
        Ok(())
    }

    /// The next frame.
    fn take(&mut self) -> Option<Outgoing> {
        let first = self.queue.pop_front()?;
        self.queued -= first.bytes.len();
        if self.queue.is_empty() {
            // A burst must not stay in memory with every socket that it met.
            self.queue.shrink_to(16);
        }
        if !self.lines || self.queue.is_empty() || first.bytes.len() >= LINES_BYTES {
            return Some(first);
        }
        let mut joined = BytesMut::from(first.bytes);
        while let Some(next) = self.queue.front().filter(|next| joined.len() + next.bytes.len() < LINES_BYTES) {
            joined.extend_from_slice(b"\n");
            joined.extend_from_slice(&next.bytes);
            self.queued -= next.bytes.len();
            self.queue.pop_front();
        }
        Some(Outgoing { bytes: joined.freeze(), kind: Data::Text })
    }

    /// Writes what waits, then closes with `code`, or only ends the connection. Takes 6 s at most.
    pub(crate) async fn close(mut self, code: Option<u16>) {
        if let Some(code) = code {
            let written = async {
                poll_fn(|context| self.poll_written(context)).await?;
                let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
                self.stream.send(Message::Close(Some(frame))).await
            };
            // A peer that takes nothing is not told.
            if !matches!(timeout(CLOSE_LIMIT, written).await, Ok(Ok(()))) {
                return;
            }
        }
        // Its answer, or the rest of ours to its own close.
        let answered = async { while let Some(Ok(_)) = self.stream.next().await {} };
        timeout(CLOSE_LIMIT, answered).await.ok();
        // Bytes that nobody reads would make the system cut the connection before the peer has read the close frame.
        timeout(CLOSE_LIMIT, discard(self.stream.get_mut())).await.ok();
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.write(context)?;
        if self.queue.is_empty() && !self.unflushed { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

async fn discard<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S) {
    io.shutdown().await.ok();
    let mut buffer = [0; 1024];
    let mut left = CLOSE_BYTES;
    while let Ok(count @ 1..) = io.read(&mut buffer).await
        && left > count
    {
        left -= count;
    }
}

fn incoming(message: Option<Result<Message, Error>>) -> Incoming {
    match message {
        Some(Ok(Message::Text(text))) => Incoming::Text(text),
        Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Control,
        Some(Ok(Message::Close(_))) | None => Incoming::Over(None),
        Some(Err(error)) => Incoming::Over(mistake(&error)),
    }
}

/// The code that tells the peer of its mistake; `None` if it was none, or if the peer is gone.
fn mistake(error: &Error) -> Option<u16> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size.into()),
        Error::Utf8(_) => Some(CloseCode::Invalid.into()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
