//! The sessions that were revoked while access tokens of theirs may still be valid: a snapshot, then each new one.

use super::{LIMIT, Users, UsersUnavailable};
use proto::users::v1::{WatchRevocationsRequest, WatchRevocationsResponse};
use service::health::Check;
use service::retry::Backoff;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use uuid::Uuid;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Revocations are to reach sockets within 5 s: a pause must leave time for the rest.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// News that a slow listener may have before it.
const NEWS: usize = 4096;

/// What is known of revoked sessions: as many as ended within the life of an access token.
#[derive(Debug)]
pub(super) struct Revoked {
    /// By session, when no token of it can be valid any more (Unix seconds).
    known: Mutex<HashMap<Uuid, i64>>,
    news: broadcast::Sender<Uuid>,
}

impl Revoked {
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(HashMap::new()), news: broadcast::channel(NEWS).0 }
    }

    pub(super) fn contains(&self, session: Uuid) -> bool {
        self.lock().contains_key(&session)
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Uuid> {
        self.news.subscribe()
    }

    fn take(&self, update: &WatchRevocationsResponse, now: i64) {
        let all: Vec<(Uuid, i64)> = update
            .revocations
            .iter()
            .filter_map(|one| Some((one.session_id.parse().ok()?, one.forget_at)))
            .filter(|(_, forget_at)| *forget_at > now)
            .collect();
        {
            let mut known = self.lock();
            if update.snapshot {
                known.clear();
            }
            known.retain(|_, forget_at| *forget_at > now);
            known.extend(all.iter().copied());
        }
        for (session, _) in all {
            // Nobody listens: no sockets.
            self.news.send(session).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows user-service for as long as the program runs.
pub(super) async fn follow(users: Users, check: Check, stop: CancellationToken) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut version = 0;
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = follow_once(&users, &check, &mut version, &mut backoff) => ended,
        };
        check.not_ready(format!("revoked sessions are not heard of: {ended}"));
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(backoff.next()) => {}
        }
    }
}

/// One connection, until it ends; says why.
async fn follow_once(users: &Users, check: &Check, version: &mut u64, backoff: &mut Backoff) -> UsersUnavailable {
    let mut updates = match open(users, *version).await {
        Ok(updates) => updates,
        Err(error) => return error,
    };
    loop {
        match updates.message().await {
            Ok(Some(update)) => {
                check.ready();
                backoff.reset();
                users.inner.revoked.take(&update, now());
                *version = update.version;
            }
            Ok(None) => return UsersUnavailable("the stream ended".to_owned()),
            Err(status) => return UsersUnavailable(format!("{}: {}", status.code(), status.message())),
        }
    }
}

async fn open(users: &Users, since_version: u64) -> Result<Streaming<WatchRevocationsResponse>, UsersUnavailable> {
    let request = users.request(WatchRevocationsRequest { since_version })?;
    let mut client = users.client();
    match timeout(LIMIT, client.watch_revocations(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(UsersUnavailable(format!("{}: {}", status.code(), status.message()))),
        Err(_) => Err(UsersUnavailable("no answer in time".to_owned())),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::users::v1::Revocation;

    fn update(snapshot: bool, sessions: &[(u128, i64)]) -> WatchRevocationsResponse {
        let revocations = sessions.iter().map(|(session, forget_at)| Revocation {
            session_id: Uuid::from_u128(*session).to_string(),
            user_id: String::new(),
            forget_at: *forget_at,
        });
        WatchRevocationsResponse { version: 1, snapshot, revocations: revocations.collect() }
    }

    #[test]
    fn revocations_are_told_and_forgotten_in_time() {
        let revoked = Revoked::new();
        let mut news = revoked.subscribe();
        revoked.take(&update(true, &[(1, 100), (2, 200)]), 50);
        assert!(revoked.contains(Uuid::from_u128(1)) && !revoked.contains(Uuid::from_u128(3)));
        revoked.take(&update(false, &[(3, 300)]), 150);
        assert!(!revoked.contains(Uuid::from_u128(1)) && revoked.contains(Uuid::from_u128(2)));
        for session in 1..=3 {
            assert_eq!(news.try_recv(), Ok(Uuid::from_u128(session)));
        }
        revoked.take(&update(true, &[]), 150);
        assert!(!revoked.contains(Uuid::from_u128(2)));
    }
}
