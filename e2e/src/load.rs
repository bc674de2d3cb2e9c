//! Many messages into one room while something breaks: senders that never give up, readers that resume, and everything compared
//! at the end.

mod reader;
mod replay;
mod talker;
mod view;

pub use reader::Reader;
pub use replay::replay;
pub use talker::{Progress, Talker};
pub use view::{events, history, history_with_gaps, last_stored, messages, reaches};

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use sqlx::PgPool;

use crate::address::Address;
use crate::checker::{self, Acknowledged, View};
use crate::person::Person;
use crate::wait;

/// After the last `ok`, history has everything within this time.
const HISTORY_LIMIT: Duration = Duration::from_secs(5);
/// Readers that lost their connection a moment ago catch up within this time.
const READERS_LIMIT: Duration = Duration::from_secs(30);

/// The running system that a scene is played in.
#[derive(Clone)]
pub struct World {
    /// Gateways; sender `i` uses gateway `i` modulo their number.
    pub gateways: Vec<Address>,
    /// For REST.
    pub http: Client,
    /// What the historian wrote.
    pub pool: PgPool,
}

/// A scene: who sends how much into which room.
pub struct Scene<'a> {
    /// `namespace/name`; everybody has joined.
    pub room: &'a str,
    /// Everybody who sends; the first two also read, one on each of the first two gateways.
    pub people: &'a [Person],
    /// By all together.
    pub messages: usize,
    /// Sent and not yet answered, by each.
    pub window: usize,
    /// By each in a second, at most.
    pub pace: u32,
}

/// What came out of a scene.
pub struct Outcome {
    /// In the order of sending for each sender.
    pub acknowledged: Vec<Acknowledged>,
    /// Commands that were answered with an error, and connections that were lost.
    pub disturbances: usize,
    /// Connections that readers had to make again.
    pub resumes: usize,
    /// From the first message to the last `ok`.
    pub took: Duration,
}

impl Scene<'_> {
    /// Plays it: `meanwhile` runs beside the senders and gets their progress. Then compares readers, history and database.
    pub async fn play<F>(&self, world: &World, meanwhile: impl FnOnce(Arc<Progress>) -> F) -> Result<Outcome>
    where
        F: Future<Output = Result<()>>,
    {
        let readers = self.readers(world).await?;
        let progress = Arc::new(Progress::default());
        let start = Instant::now();
        let talkers = self.people.iter().enumerate().map(|(index, person)| Talker {
            address: world.gateways[index % world.gateways.len()].clone(),
            person: person.clone(),
            room: self.room.to_owned(),
            count: self.messages / self.people.len(),
            window: self.window,
            pace: self.pace,
            label: format!("{} of {}", person.username, self.room),
        });
        let talking = futures::future::try_join_all(talkers.map(|talker| talker.run(progress.clone())));
        let (acknowledged, ()) = tokio::try_join!(talking, meanwhile(progress.clone()))?;
        let took = start.elapsed();
        let acknowledged: Vec<Acknowledged> = acknowledged.into_iter().flatten().collect();
        let resumes = self.compare(world, &acknowledged, readers).await?;
        Ok(Outcome { acknowledged, disturbances: progress.disturbances(), resumes, took })
    }

    async fn readers(&self, world: &World) -> Result<Vec<Reader>> {
        let mut readers = Vec::new();
        for (index, address) in world.gateways.iter().enumerate().take(2) {
            let person = self.people.get(index).context("a scene needs two people")?;
            readers.push(Reader::start(address, person, self.room).await?);
        }
        Ok(readers)
    }

    async fn compare(&self, world: &World, acknowledged: &[Acknowledged], readers: Vec<Reader>) -> Result<usize> {
        let last = acknowledged.iter().map(|sent| sent.place).max().context("nothing was acknowledged")?;
        wait::until(HISTORY_LIMIT, "a page of history with the last position", || async {
            reaches(&world.http, &world.gateways[0], &self.people[0], self.room, last).await.map(Some)
        })
        .await?;
        wait::until(HISTORY_LIMIT, "the database with the last position", || async {
            Ok((last_stored(&world.pool, self.room).await? >= last).then_some(()))
        })
        .await?;
        let history = history(&world.http, &world.gateways[0], &self.people[0], self.room).await?;
        let count = history.messages.len();
        let mut views = vec![history];
        views.push(messages(&world.pool, self.room).await?);
        views.push(events(&world.pool, self.room).await?);
        let mut resumes = 0;
        for reader in readers {
            reader.wait_for(count, READERS_LIMIT).await?;
            let (view, resumed) = reader.stop()?;
            views.push(view);
            resumes += resumed;
        }
        let complaints = checker::check(acknowledged, &views);
        ensure!(complaints.count() == 0, "{}: {complaints}", self.room);
        Ok(resumes)
    }
}

/// A name for a complaint and what it saw.
fn named(name: impl Into<String>) -> View {
    View { name: name.into(), messages: Vec::new() }
}
