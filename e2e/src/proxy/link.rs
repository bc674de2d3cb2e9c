//! One connection through a proxy: two pumps that look at their direction's flow before each piece they hand on.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Observer;
use super::amqp::{Seen, Sieve};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the client sends.
    ToServer,
    /// What the server answers.
    ToClient,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    Pass,
    /// They wait, and are not lost.
    Hold,
    /// Each piece waits so long.
    Delay(Duration),
    /// All but the messages that RabbitMQ delivers: those are lost. Before another server everything passes.
    WithoutDeliveries,
}

pub(super) struct Link {
    to_server: watch::Sender<Flow>,
    to_client: watch::Sender<Flow>,
    cut: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

impl Link {
    pub(super) fn new((to_server, to_client): (Flow, Flow)) -> Self {
        Self {
            to_server: watch::Sender::new(to_server),
            to_client: watch::Sender::new(to_client),
            cut: watch::Sender::new(false),
            seen: Mutex::default(),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn set(&self, direction: Direction, flow: Flow) {
        match direction {
            Direction::ToServer => self.to_server.send_replace(flow),
            Direction::ToClient => self.to_client.send_replace(flow),
        };
    }

    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(super) fn lives(&self) -> bool {
        !*self.cut.borrow()
    }

    /// Until either side ends or the link is cut.
    pub(super) async fn carry(
        &self,
        mut client: TcpStream,
        mut server: TcpStream,
        mut observer: Observer,
        mut sieve: Option<Sieve>,
    ) {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let mut cut = self.cut.subscribe();
        let observe = |bytes: &mut Vec<u8>, _| observer(bytes);
        let sift = |bytes: &mut Vec<u8>, flow| {
            if let Some(sieve) = &mut sieve {
                *bytes = sieve.pass(bytes, flow != Flow::WithoutDeliveries);
            }
        };
        tokio::select! {
            () = pump(client_read, server_write, self.to_server.subscribe(), observe) => {}
            () = pump(server_read, client_write, self.to_client.subscribe(), sift) => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
        self.cut();
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    mut look: impl FnMut(&mut Vec<u8>, Flow),
) {
    loop {
        let mut piece = Vec::with_capacity(16 * 1024);
        match from.read_buf(&mut piece).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let now = *flow.borrow();
        look(&mut piece, now);
        let Ok(now) = flow.wait_for(|flow| *flow != Flow::Hold).await.map(|flow| *flow) else { return };
        if let Flow::Delay(time) = now {
            tokio::time::sleep(time).await;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
