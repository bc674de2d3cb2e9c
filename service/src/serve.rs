//! A listening socket and what is spoken on it: HTTP/1.1 and HTTP/2, plain or over TLS, WebSocket upgrades, and a graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

pub use crate::serve::tls::{Tls, TlsArgs};
use crate::shutdown::Shutdown;

mod tls;

/// Connections that wait to be accepted: after a gateway's end thousands come at once.
const BACKLOG: u32 = 4096;
/// For TLS, for the first bytes and for the head of each request. Also what an idle HTTP/1.1 connection lives.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How often a peer of HTTP/2 is asked whether it is there, and how long it may take to say so.
const ALIVE_EVERY: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 1024;
/// What every client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A pause while the system cannot accept, as with no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    Http1,
    Http2,
}

/// Listens on `addr`. Call it inside the runtime.
pub fn bind(addr: SocketAddr) -> Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for what is left of the last run's connections.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("failed to listen on {addr}: is the address of this machine, and does another program use the port? Stop it or choose another port"))
}

/// Serves `router` on `listener` until the word to stop, then lets requests that run end for at most `drain`.
/// Upgraded connections are no longer its business: who upgraded them ends them.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    shutdown: &Shutdown,
    drain: Duration,
) -> Result<()> {
    let connections = TaskTracker::new();
    // Cut once the time to drain is over, or when this future is dropped.
    let cut = CancellationToken::new();
    let _cut_on_drop = cut.clone().drop_guard();
    let acceptor = tls.map(|tls| tls.acceptor());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            },
            () = shutdown.begun() => break,
        };
        let connection = connection(stream, peer, acceptor.clone(), router.clone(), shutdown.clone());
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut at the end of the time to drain");
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// Errors of one connection are its own; the others are of the system, and pass.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset) {
        return;
    }
    tracing::error!(%error, "failed to accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

/// One connection from its first byte to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    shutdown: Shutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let Some(acceptor) = acceptor else {
        let version = tokio::select! {
            version = plain_version(&stream) => version,
            () = shutdown.begun() => return,
        };
        if let Some(version) = version {
            speak(stream, version, peer, router, &shutdown).await;
        }
        return;
    };
    let accepted = tokio::select! {
        accepted = timeout(HEAD_LIMIT, acceptor.accept(stream)) => accepted,
        () = shutdown.begun() => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            let version = if http2 { Version::Http2 } else { Version::Http1 };
            speak(stream, version, peer, router, &shutdown).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS"),
        Err(_) => tracing::debug!(%peer, "TLS took too long"),
    }
}

/// Whether the client begins with the preface of HTTP/2; `None` if it says nothing, or too slowly.
async fn plain_version(stream: &TcpStream) -> Option<Version> {
    /// The preface comes in one packet; the pause is for one that does not.
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + HEAD_LIMIT;
    let mut first = [0; PREFACE.len()];
    while Instant::now() < deadline {
        let count = timeout(HEAD_LIMIT, stream.peek(&mut first)).await.ok()?.ok()?;
        if count == 0 {
            return None;
        }
        if !PREFACE.starts_with(first.get(..count)?) {
            return Some(Version::Http1);
        }
        if count == PREFACE.len() {
            return Some(Version::Http2);
        }
        sleep(PAUSE).await;
    }
    None
}

async fn speak<S>(stream: S, version: Version, peer: SocketAddr, router: Router, shutdown: &Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let outcome = match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
            let connection = builder.serve_connection(io, service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = shutdown.begun() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(ALIVE_EVERY).keep_alive_timeout(ALIVE_EVERY);
            builder.max_concurrent_streams(MAX_STREAMS);
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = shutdown.begun() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %peer, "a connection ended with an error");
    }
}

async fn answer(
    mut router: Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    // A router is always ready.
    router.call(request).await
}

#[cfg(test)]
mod tests;
