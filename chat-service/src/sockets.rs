//! The sockets and streams of this gateway: who is there, and a word to each that something changed for it. What a socket has
//! not heard yet is kept as a set, so it is bounded however slow the socket is.

use contract::room::RoomName;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

/// Sockets that leave at once during a drain; the pause between two such groups spreads them.
const GROUP: usize = 50;
/// The shortest pause between two groups.
const PAUSE: Duration = Duration::from_millis(20);

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sockets {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seats: Mutex<HashMap<u64, Weak<Shared>>>,
    next: AtomicU64,
    tracker: TaskTracker,
    draining: Mutex<bool>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody before `connect`.
    who: Option<Who>,
    /// Rooms that are read here.
    rooms: Vec<Uuid>,
    news: News,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Who {
    user: Uuid,
    session: Uuid,
}

/// What a socket is to hear.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Its session was ended.
    pub(crate) revoked: bool,
    /// This gateway stops.
    pub(crate) leave: bool,
    /// The person's list of rooms changed, because of these.
    pub(crate) rooms_changed: BTreeSet<RoomName>,
    /// It may be that these rooms can be read no longer.
    pub(crate) doubtful: BTreeSet<Uuid>,
}

impl News {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A socket's place among the others. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Seat {
    id: u64,
    shared: Arc<Shared>,
    sockets: Sockets,
    _tracked: TaskTrackerToken,
}

impl Sockets {
    /// None yet, and that is measured: who scales gateways takes a missing number for an unknown one.
    pub(crate) fn new() -> Self {
        metrics::gauge!("parlor_sockets").increment(0.0);
        Self::default()
    }

    /// Takes a seat for a socket that just opened.
    pub(crate) fn enter(&self) -> Seat {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Notify::new() });
        lock(&self.inner.seats).insert(id, Arc::downgrade(&shared));
        let seat = Seat { id, shared, sockets: self.clone(), _tracked: self.inner.tracker.token() };
        if *lock(&self.inner.draining) {
            tell(&seat.shared, |news| news.leave = true);
        }
        metrics::gauge!("parlor_sockets").increment(1.0);
        seat
    }

    /// A session was ended.
    pub(crate) fn revoke(&self, session: Uuid) {
        for shared in self.all() {
            if lock(&shared.state).who.is_some_and(|who| who.session == session) {
                tell(&shared, |news| news.revoked = true);
            }
        }
    }

    /// Ends the sockets whose session is revoked by this rule: after news were missed.
    pub(crate) fn revoke_where(&self, is_revoked: impl Fn(Uuid) -> bool) {
        for shared in self.all() {
            let who = lock(&shared.state).who;
            if who.is_some_and(|who| is_revoked(who.session)) {
                tell(&shared, |news| news.revoked = true);
            }
        }
    }

    /// A person's list of rooms changed.
    pub(crate) fn rooms_changed(&self, user: Uuid, room: &RoomName) {
        for shared in self.all() {
            if lock(&shared.state).who.is_some_and(|who| who.user == user) {
                tell(&shared, |news| {
                    news.rooms_changed.insert(room.clone());
                });
            }
        }
    }

    /// It may be that this person can read this room no longer.
    pub(crate) fn doubt(&self, room: Uuid, user: Uuid) {
        for shared in self.all() {
            let reads = {
                let state = lock(&shared.state);
                state.who.is_some_and(|who| who.user == user) && state.rooms.contains(&room)
            };
            if reads {
                tell(&shared, |news| {
                    news.doubtful.insert(room);
                });
            }
        }
    }

    /// Who reads what here, as (room, person), each once.
    pub(crate) fn readers(&self) -> Vec<(Uuid, Uuid)> {
        let mut pairs = Vec::new();
        for shared in self.all() {
            let state = lock(&shared.state);
            if let Some(who) = state.who {
                pairs.extend(state.rooms.iter().map(|room| (*room, who.user)));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Tells all to go elsewhere, a group at a time, and waits until they are gone or `limit` is over. Many are spread over at
    /// most `spread`; a few go at once.
    pub(crate) async fn drain(&self, spread: Duration, limit: Duration) {
        let end = Instant::now() + limit;
        *lock(&self.inner.draining) = true;
        self.inner.tracker.close();
        let all = self.all();
        let groups = u32::try_from(all.len().div_ceil(GROUP)).unwrap_or(u32::MAX).max(1);
        let pause = (spread / groups).min(PAUSE * 10).max(PAUSE);
        for (number, group) in all.chunks(GROUP).enumerate() {
            if number > 0 {
                sleep(pause).await;
            }
            for shared in group {
                tell(shared, |news| news.leave = true);
            }
        }
        drop(all);
        if timeout_at(end, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!(sockets = self.inner.tracker.len(), "cut at the end of the time to drain");
        }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        lock(&self.inner.seats).values().filter_map(Weak::upgrade).collect()
    }
}

impl Seat {
    /// Who sits here, from now on.
    pub(crate) fn identify(&self, user: Uuid, session: Uuid) {
        lock(&self.shared.state).who = Some(Who { user, session });
    }

    /// This room is read here.
    pub(crate) fn reads(&self, room: Uuid) {
        let mut state = lock(&self.shared.state);
        if !state.rooms.contains(&room) {
            state.rooms.push(room);
        }
    }

    /// This room is read here no longer.
    pub(crate) fn leaves(&self, room: Uuid) {
        lock(&self.shared.state).rooms.retain(|other| *other != room);
    }

    /// The next news. Cancel-safe.
    pub(crate) async fn news(&self) -> News {
        loop {
            let wake = self.shared.wake.notified();
            let news = std::mem::take(&mut lock(&self.shared.state).news);
            if !news.is_empty() {
                return news;
            }
            wake.await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.sockets.inner.seats).remove(&self.id);
        metrics::gauge!("parlor_sockets").decrement(1.0);
    }
}

fn tell(shared: &Shared, change: impl FnOnce(&mut News)) {
    change(&mut lock(&shared.state).news);
    shared.wake.notify_one();
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::pin;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[tokio::test]
    async fn news_reach_those_whom_they_concern_once_and_however_late_they_look() {
        let sockets = Sockets::default();
        let (one, other, nobody) = (sockets.enter(), sockets.enter(), sockets.enter());
        one.identify(id(1), id(11));
        other.identify(id(2), id(22));
        one.reads(id(5));
        other.reads(id(5));
        sockets.revoke(id(22));
        sockets.doubt(id(5), id(1));
        sockets.doubt(id(6), id(1));
        let room: RoomName = "a/b".parse().unwrap();
        sockets.rooms_changed(id(1), &room);
        sockets.rooms_changed(id(1), &room);
        let news = one.news().await;
        assert_eq!(news.rooms_changed.len(), 1);
        assert_eq!(news.doubtful, BTreeSet::from([id(5)]));
        assert!(!news.revoked && other.news().await.revoked);
        for seat in [&one, &other, &nobody] {
            assert!(pin!(seat.news()).now_or_never().is_none());
        }
        assert_eq!(sockets.readers(), [(id(5), id(1)), (id(5), id(2))]);
        one.leaves(id(5));
        drop(other);
        assert_eq!(sockets.readers(), []);
    }

    #[tokio::test]
    async fn a_drain_tells_all_waits_for_them_and_no_longer_than_it_may() {
        let sockets = Sockets::default();
        let seats: Vec<Seat> = (0..120).map(|_| sockets.enter()).collect();
        let draining = tokio::spawn({
            let sockets = sockets.clone();
            async move { sockets.drain(Duration::ZERO, Duration::from_mins(1)).await }
        });
        for seat in seats {
            assert!(seat.news().await.leave);
        }
        draining.await.unwrap();
        let late = sockets.enter();
        assert!(late.news().await.leave);
        let start = Instant::now();
        sockets.drain(Duration::ZERO, Duration::from_millis(100)).await;
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}
