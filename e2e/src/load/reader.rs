//! Somebody who reads a room without a break, resuming at the last position after every lost connection, and notes whatever the
//! protocol does not allow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::named;
use crate::address::Address;
use crate::checker::{Place, Seen, View, ordinal};
use crate::person::Person;
use crate::socket::{Frame, Socket};

/// How often the end is looked for while nothing comes.
const PAUSE: Duration = Duration::from_millis(200);

/// A reader at work.
pub struct Reader {
    name: String,
    shared: Arc<Shared>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    messages: Mutex<Vec<Seen>>,
    wrong: Mutex<Vec<String>>,
    resumes: Mutex<usize>,
}

/// Where the reader is.
struct Cursor {
    epoch: String,
    place: Place,
}

impl Reader {
    /// Subscribes; when this returns everything that is sent from now on will be seen.
    pub async fn start(address: &Address, person: &Person, room: &str) -> Result<Self> {
        let (mut socket, _) = Socket::connect(&address.socket, &person.access_token).await?;
        let ok = socket.ok("subscribe", json!({"room": room})).await?;
        let cursor = Cursor::of(&ok).with_context(|| format!("a subscription without a position: {ok}"))?;
        let name = format!("{} at {}", person.username, address.http);
        let (sender, count) = watch::channel(0);
        let shared = Arc::new(Shared::default());
        let work = Work {
            url: address.socket.clone(),
            token: person.access_token.clone(),
            room: room.to_owned(),
            cursor,
            shared: shared.clone(),
            count: sender,
        };
        let task = tokio::spawn(work.run(socket));
        Ok(Self { name, shared, count, task })
    }

    /// Waits until it has seen so many messages.
    pub async fn wait_for(&self, messages: usize, limit: Duration) -> Result<()> {
        let mut count = self.count.clone();
        let waiting = count.wait_for(|now| *now >= messages);
        let outcome = tokio::time::timeout(limit, waiting).await;
        let seen = *self.count.borrow();
        outcome.with_context(|| format!("{} has seen {seen} of {messages} messages", self.name))?.map(drop)?;
        Ok(())
    }

    /// What it saw, and how often it resumed. Whatever the protocol does not allow is an error.
    pub fn stop(self) -> Result<(View, usize)> {
        self.task.abort();
        let wrong = lock(&self.shared.wrong).clone();
        ensure!(wrong.is_empty(), "{}: {}", self.name, wrong.join("; "));
        let mut view = named(self.name);
        view.messages.clone_from(&lock(&self.shared.messages));
        let resumes = *lock(&self.shared.resumes);
        Ok((view, resumes))
    }
}

impl Cursor {
    /// From anything with `epoch` and `pos`.
    fn of(value: &Value) -> Option<Self> {
        let epoch = value["epoch"].as_str()?;
        Some(Self { epoch: epoch.to_owned(), place: (ordinal(epoch)?, value["pos"].as_u64()?) })
    }
}

struct Work {
    url: String,
    token: String,
    room: String,
    cursor: Cursor,
    shared: Arc<Shared>,
    count: watch::Sender<usize>,
}

impl Work {
    async fn run(mut self, mut socket: Socket) {
        loop {
            // Whatever ends a connection, the next one begins where this one was.
            self.listen(&mut socket).await.ok();
            socket = loop {
                let pause = rand::rng().random_range(50..500);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                if let Ok(next) = self.resume().await {
                    break next;
                }
            };
            *lock(&self.shared.resumes) += 1;
        }
    }

    async fn resume(&mut self) -> Result<Socket> {
        let mut socket = Socket::open(&self.url, None).await?;
        let at = json!({"room": self.room, "epoch": self.cursor.epoch, "pos": self.cursor.place.1});
        let ok = socket.ok("connect", json!({"token": self.token, "rooms": [at]})).await?;
        let room = ok["rooms"].get(0).context("the reply names no room")?.clone();
        if room.get("err").is_some_and(|err| !err.is_null()) {
            self.subscribe(&mut socket).await?;
        } else {
            self.resumed(&room);
        }
        Ok(socket)
    }

    /// Again and again while the room is temporarily away.
    async fn subscribe(&mut self, socket: &mut Socket) -> Result<()> {
        loop {
            let at = json!({"room": self.room, "epoch": self.cursor.epoch, "pos": self.cursor.place.1});
            let reply = socket.call("subscribe", at).await?;
            if let Some(ok) = reply.get("ok") {
                self.resumed(&ok.clone());
                return Ok(());
            }
            ensure!(reply["err"]["temporary"] == true, "the subscription was refused: {reply}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn resumed(&mut self, room: &Value) {
        if room["recovered"] != true {
            self.complain(format!("a resume from {:?} was not recovered: {room}", self.cursor.place));
        }
        for event in room["events"].as_array().into_iter().flatten() {
            self.apply(event);
        }
    }

    async fn listen(&mut self, socket: &mut Socket) -> Result<()> {
        loop {
            // Pushes that came while a reply was waited for are first.
            let frame = match socket.pushed() {
                Some(pushed) => pushed,
                None => match socket.poll(PAUSE).await? {
                    Some(Frame::Json(frame)) => frame,
                    Some(Frame::Closed(code)) => bail!("closed with {code}"),
                    None => continue,
                },
            };
            if let Some(event) = frame.get("ev") {
                self.apply(event);
            } else if frame.get("lagged").is_some() {
                self.subscribe(socket).await?;
            } else if frame.get("reset").is_some() || frame.get("unsubscribed").is_some() {
                self.complain(format!("{frame} came, and nobody touched the log"));
                return Ok(());
            }
        }
    }

    fn apply(&mut self, event: &Value) {
        let Some(cursor) = Cursor::of(event) else {
            return self.complain(format!("an event without a position: {event}"));
        };
        if cursor.place <= self.cursor.place {
            self.complain(format!("{:?} came after {:?}", cursor.place, self.cursor.place));
        }
        self.cursor = cursor;
        if let Some(seen) = Seen::of(event) {
            lock(&self.shared.messages).push(seen);
            self.count.send_modify(|count| *count += 1);
        }
    }

    fn complain(&self, what: String) {
        let mut wrong = lock(&self.shared.wrong);
        if wrong.len() < 10 {
            wrong.push(what);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
