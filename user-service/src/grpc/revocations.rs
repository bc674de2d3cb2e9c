//! `WatchRevocations`: each watcher is told from the common memory when it asks for more, so a slow one costs nothing.

use std::time::Duration;

use futures::Stream;
use futures::stream;
use proto::users::v1::{Revocation, WatchRevocationsResponse};
use service::problem::{Code, Problem};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::authority::Authority;
use crate::revocations::Page;
use crate::state::App;

/// One watcher's place.
struct Watcher {
    app: App,
    changes: watch::Receiver<()>,
    at: u64,
    greeted: bool,
    over: bool,
    /// When the caller's token ends.
    until: Instant,
    _counted: Counted,
}

/// Messages from `since` on, until the caller's token or the program ends.
pub(crate) fn watch(
    app: App,
    since: u64,
    authority: Authority,
) -> impl Stream<Item = Result<WatchRevocationsResponse, Status>> + Send + 'static {
    let changes = app.accounts.revocations.changes();
    let left = Duration::try_from(authority.until - OffsetDateTime::now_utc()).unwrap_or_default();
    let until = Instant::now() + left;
    let watcher = Watcher { app, changes, at: since, greeted: false, over: false, until, _counted: Counted::new() };
    stream::unfold(watcher, |mut watcher| async move {
        if watcher.over {
            return None;
        }
        let message = watcher.next().await;
        watcher.over = message.is_err();
        Some((message, watcher))
    })
}

impl Watcher {
    async fn next(&mut self) -> Result<WatchRevocationsResponse, Status> {
        loop {
            self.changes.mark_unchanged();
            if Instant::now() >= self.until {
                return Err(
                    Problem::new(Code::TokenExpired, "the token has expired: watch again with a new one").into()
                );
            }
            if self.app.shutdown.is_begun() {
                return Err(Problem::new(Code::Unavailable, "this instance stops: watch again").into());
            }
            if let Some(page) = self.page() {
                self.at = page.version;
                self.greeted = true;
                return Ok(message(page));
            }
            tokio::select! {
                // An error means that the program ends, which the third branch tells.
                _ = self.changes.changed() => {}
                () = tokio::time::sleep_until(self.until) => {}
                () = self.app.shutdown.begun() => {}
            }
        }
    }

    /// What comes next. The first message comes at once, also if it says nothing new: so a watcher knows that it is heard.
    fn page(&self) -> Option<Page> {
        let nothing = || Page { version: self.at, snapshot: false, revocations: Vec::new() };
        self.app.accounts.revocations.after(self.at).or_else(|| (!self.greeted).then(nothing))
    }
}

fn message(page: Page) -> WatchRevocationsResponse {
    let revocations = page.revocations.into_iter().map(|one| Revocation {
        session_id: one.session.to_string(),
        user_id: one.user.to_string(),
        forget_at: one.forget_at,
    });
    WatchRevocationsResponse { version: page.version, snapshot: page.snapshot, revocations: revocations.collect() }
}

/// Counts watchers, as long as they live.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("parlor_users_revocation_watchers").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("parlor_users_revocation_watchers").decrement(1.0);
    }
}
