//! Sessions that ended before their access tokens did. The record is in Redis, common to all instances; each reads it twice a second
//! into memory, from where watchers are served, so a watcher that is slow holds nothing but its place.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::Script;
use service::cache::Cache;
use service::retry::Backoff;
use service::shutdown::Shutdown;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub(crate) use known::{Page, Revocation};

use crate::stem::STEM;
use known::Known;

mod known;

/// How often the record is read.
const INTERVAL: Duration = Duration::from_millis(500);
/// Entries read at once, and told at once.
const PAGE: usize = 1_000;

/// Why the record was not read.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to ask Redis about revocations")]
    Redis(#[source] redis::RedisError),
    #[error("failed to read a revocation: {0}")]
    Shape(&'static str),
}

/// A part of the record.
struct Read {
    floor: u64,
    version: u64,
    entries: Vec<(u64, Revocation)>,
}

/// What is known of the record. Cheap to clone.
///
/// Redis may lose the record. Each instance then puts back what it knows before it reads on, and the record begins above all versions
/// there were: a watcher that is told a version below that floor, or one that nobody gave out, gets a snapshot.
#[derive(Clone)]
pub(crate) struct Revocations(Arc<Inner>);

struct Inner {
    cache: Cache,
    read: Script,
    restore: Script,
    known: RwLock<Known>,
    /// Rings when there may be something to tell.
    changed: watch::Sender<()>,
    /// Rings when the record should be read at once.
    look: Notify,
}

impl Revocations {
    /// Nothing is known until [`Self::keep_reading`] has read.
    pub(crate) fn new(cache: Cache) -> Self {
        let record = include_str!("revocations/record.lua");
        Self(Arc::new(Inner {
            cache,
            read: Script::new(&format!("{record}{}", include_str!("revocations/read.lua"))),
            restore: Script::new(&format!("{record}{}", include_str!("revocations/restore.lua"))),
            known: RwLock::default(),
            changed: watch::Sender::new(()),
            look: Notify::new(),
        }))
    }

    /// Reads the record until the end of the program.
    pub(crate) async fn keep_reading(self, shutdown: Shutdown) {
        let mut down = false;
        let mut backoff = Backoff::new(INTERVAL, 4 * INTERVAL);
        while !shutdown.is_begun() {
            match self.catch_up().await {
                Ok(()) => {
                    down = false;
                    backoff.reset();
                }
                Err(error) if down => tracing::debug!(error = &error as &dyn std::error::Error, "still no revocations"),
                Err(error) => {
                    down = true;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "revocations are not known until Redis answers"
                    );
                }
            }
            self.change(|known| known.forget(OffsetDateTime::now_utc().unix_timestamp()));
            metrics::gauge!("parlor_users_revocations").set(f64::from(u32::try_from(self.count()).unwrap_or(u32::MAX)));
            let pause = if down { backoff.next() } else { INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.look.notified() => {}
                () = shutdown.begun() => {}
            }
        }
    }

    /// There is something new: read now.
    pub(crate) fn look(&self) {
        self.0.look.notify_one();
    }

    /// Whether the record was ever read: before, nobody can be told anything.
    pub(crate) fn is_read(&self) -> bool {
        self.with(Known::is_read)
    }

    /// Whether the session ended: by memory, else by the record. Where Redis does not answer, memory decides.
    pub(crate) async fn has(&self, session: Uuid) -> bool {
        if self.with(|known| known.has(session)) {
            return true;
        }
        let mut command = redis::cmd("EXISTS");
        command.arg(format!("{STEM}:revoked:{session}"));
        match self.0.cache.run::<bool>(&command).await {
            Ok(revoked) => revoked,
            Err(error) => {
                metrics::counter!("parlor_users_revocation_checks_skipped_total").increment(1);
                tracing::debug!(error = &error as &dyn std::error::Error, "failed to ask Redis about a session");
                false
            }
        }
    }

    /// What a watcher that stands at `since` has to be told next; `None`: nothing.
    pub(crate) fn after(&self, since: u64) -> Option<Page> {
        self.with(|known| known.after(since, PAGE))
    }

    /// Rings when there may be something to tell.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    fn count(&self) -> usize {
        self.with(Known::len)
    }

    fn with<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    async fn catch_up(&self) -> Result<(), Error> {
        loop {
            let (floor, version) = self.with(Known::position);
            let read = self.read(floor, version).await?;
            if read.floor != floor {
                return self.begin_anew(read.floor).await;
            }
            if read.entries.is_empty() {
                return Ok(());
            }
            let more = read.entries.len() == PAGE;
            self.change(|known| known.extend(read.version, &read.entries));
            self.0.changed.send_replace(());
            if !more {
                return Ok(());
            }
        }
    }

    /// The record is another one than we knew: it begins at `floor`.
    async fn begin_anew(&self, floor: u64) -> Result<(), Error> {
        let ours = self.with(Known::all);
        for some in ours.chunks(PAGE) {
            self.restore(some).await?;
        }
        // Every entry of the record is above its floor.
        let mut version = floor;
        let mut entries = Vec::new();
        loop {
            let read = self.read(floor, version).await?;
            if read.floor != floor {
                // Once more another one: the next look begins with that.
                return Ok(());
            }
            let more = read.entries.len() == PAGE;
            version = read.version;
            entries.extend(read.entries);
            if !more {
                break;
            }
        }
        if !ours.is_empty() || self.is_read() {
            tracing::warn!(put_back = ours.len(), floor, "Redis was restarted: the record of revocations begins anew");
        }
        self.change(|known| known.replace(floor, version, &entries));
        self.0.changed.send_replace(());
        Ok(())
    }

    async fn restore(&self, revocations: &[Revocation]) -> Result<(), Error> {
        let args: Vec<String> = revocations
            .iter()
            .flat_map(|one| [one.session.to_string(), one.user.to_string(), one.forget_at.to_string()])
            .collect();
        self.0.cache.script::<i64>(&self.0.restore, STEM, &args).await.map_err(Error::Redis).map(drop)
    }

    async fn read(&self, floor: u64, version: u64) -> Result<Read, Error> {
        let args = [floor.to_string(), version.to_string(), PAGE.to_string()];
        let answer: Vec<String> = self.0.cache.script(&self.0.read, STEM, &args).await.map_err(Error::Redis)?;
        let [floor, version, entries @ ..] = answer.as_slice() else { return Err(Error::Shape("it is too short")) };
        let entries: Vec<_> = entries.chunks_exact(2).map(entry).collect::<Result<_, _>>()?;
        let version = match entries.last() {
            Some((last, _)) if entries.len() == PAGE => *last,
            _ => number(version)?,
        };
        Ok(Read { floor: number(floor)?, version, entries })
    }
}

fn entry(pair: &[String]) -> Result<(u64, Revocation), Error> {
    let [version, text] = pair else { return Err(Error::Shape("half an entry")) };
    let mut words = text.split(' ');
    let (Some(session), Some(user), Some(forget_at)) = (words.next(), words.next(), words.next()) else {
        return Err(Error::Shape("an entry lacks words"));
    };
    let revocation = Revocation {
        session: session.parse().map_err(|_| Error::Shape("a session is no UUID"))?,
        user: user.parse().map_err(|_| Error::Shape("a user is no UUID"))?,
        forget_at: forget_at.parse().map_err(|_| Error::Shape("a time is no number"))?,
    };
    Ok((number(version)?, revocation))
}

fn number(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::Shape("a version is no number"))
}
