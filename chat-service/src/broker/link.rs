//! One supervised connection: always either connected or about to be.

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use service::retry::Backoff;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;

/// TCP, TLS and AMQP handshakes together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A connection that lived so long was a good one: the next pause is a short one again.
const GOOD: Duration = Duration::from_secs(5);

/// Making a connection again takes less, unless there is nobody to connect to.
const DOWN: Duration = Duration::from_secs(2);

/// A connection while it lasts.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Tells channels of this connection from those of the one before.
    pub(super) number: u64,
}

/// Ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Link {
    session: watch::Receiver<Option<Arc<Session>>>,
    down_since: Arc<Mutex<Instant>>,
}

impl Link {
    /// Tries the addresses in turn.
    pub(super) fn start(purpose: &'static str, uris: Vec<AMQPUri>) -> Self {
        let (sender, session) = watch::channel(None);
        let down_since = Arc::new(Mutex::new(Instant::now()));
        tokio::spawn(supervise(purpose, uris, sender, down_since.clone()));
        Self { session, down_since }
    }

    /// Whether it has been without a connection for longer than making one takes.
    pub(super) fn is_down(&self) -> bool {
        self.now().is_none() && self.down_since.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > DOWN
    }

    /// Whether the broker has said that it takes nothing for now: it lacks memory or disk.
    pub(super) fn is_blocked(&self) -> bool {
        self.now().is_some_and(|session| session.connection.status().blocked())
    }

    pub(super) fn now(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone().filter(|session| session.connection.status().connected())
    }

    /// The connection, waiting for it until `deadline`.
    pub(super) async fn by(&self, deadline: Instant) -> Option<Arc<Session>> {
        let mut session = self.session.clone();
        let usable = |session: &Option<Arc<Session>>| {
            session.as_ref().is_some_and(|session| session.connection.status().connected())
        };
        timeout_at(deadline, session.wait_for(usable)).await.ok()?.ok()?.clone()
    }
}

async fn supervise(
    purpose: &'static str,
    uris: Vec<AMQPUri>,
    sender: watch::Sender<Option<Arc<Session>>>,
    down_since: Arc<Mutex<Instant>>,
) {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut told = false;
    for uri in uris.iter().cycle() {
        let deadline = Instant::now() + CONNECT_LIMIT;
        let properties = ConnectionProperties::default().with_connection_name(format!("parlor chat {purpose}").into());
        let connecting = timeout_at(deadline, Connection::connect_uri(uri.clone(), properties));
        let connected = tokio::select! {
            () = sender.closed() => return,
            connected = connecting => connected,
        };
        match connected {
            Ok(Ok(connection)) => {
                tracing::info!(purpose, host = %uri.authority.host, "connected to the broker");
                told = false;
                let began = Instant::now();
                let mut events = Box::pin(connection.events_listener());
                let session = Session { connection, number: NUMBERS.fetch_add(1, Ordering::Relaxed) };
                let session = Arc::new(session);
                sender.send_replace(Some(session.clone()));
                tokio::select! {
                    () = sender.closed() => return,
                    () = end_of(purpose, &session, &mut events) => {}
                }
                *down_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                sender.send_replace(None);
                metrics::gauge!("parlor_broker_blocked", "purpose" => purpose).set(0.0);
                metrics::counter!("parlor_broker_connections_lost_total", "purpose" => purpose).increment(1);
                if began.elapsed() > GOOD {
                    backoff.reset();
                }
            }
            // Said once an outage: the address may hold a password, so it is not told.
            failed if !told => {
                told = true;
                let error = failed.map_or_else(
                    |_| "no answer in time".to_owned(),
                    |result| match result {
                        Ok(_) => String::new(),
                        Err(error) => error.to_string(),
                    },
                );
                tracing::warn!(purpose, host = %uri.authority.host, error, "failed to connect to the broker; trying on");
            }
            _ => {}
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}

/// Waits for the end of a connection. Its events tell at once; the state is looked at as well, lest an event be missed.
async fn end_of(
    purpose: &'static str,
    session: &Session,
    events: &mut (impl tokio_stream::Stream<Item = Event> + Unpin),
) {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(purpose, reason, "the broker takes no messages (alarm)");
                    metrics::gauge!("parlor_broker_blocked", "purpose" => purpose).set(1.0);
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(purpose, "the broker takes messages again");
                    metrics::gauge!("parlor_broker_blocked", "purpose" => purpose).set(0.0);
                }
                Some(Event::Error(error)) => {
                    if !session.connection.status().connected() {
                        tracing::warn!(purpose, %error, "the connection to the broker ended");
                        return;
                    }
                }
                Some(_) => {}
                None => return,
            },
            _ = look.tick() => {
                if !session.connection.status().connected() {
                    return;
                }
            }
        }
    }
}
