//! A folder of manifests: looked at again when something in it changes, and in any case every few seconds, because not every file
//! system tells of changes.

mod locate;
mod parse;
mod scan;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use service::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

pub(super) use locate::line;
#[cfg(test)]
pub(crate) use parse::file_for_tests as parse_for_tests;

use super::Scan;

/// Between two looks without a change.
const RESCAN: Duration = Duration::from_secs(5);
/// How long it must be quiet after a change before the folder is read: editors and `git` write in several steps.
const QUIET: Duration = Duration::from_millis(150);
/// A folder that never gets quiet is read after so long.
const RESTLESS: Duration = Duration::from_secs(1);

/// Which folder, and what it is called in owners.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    owner: String,
}

impl Folder {
    /// The folder at `path`; owners begin with `name`, by default its absolute path.
    pub(crate) fn new(path: &Path, name: Option<&str>) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = name.map_or_else(|| absolute.display().to_string(), str::to_owned);
        Self { path: path.to_owned(), owner: format!("file:{}", name.trim_end_matches('/')) }
    }

    /// What stands before the file names in owners.
    pub(crate) fn owner_prefix(&self) -> String {
        format!("{}/", self.owner)
    }

    /// Looks at the folder until shutdown, and at once when `again` is notified. The first look comes at once.
    pub(crate) async fn watch(self, sender: watch::Sender<Arc<Scan>>, again: Arc<Notify>, shutdown: Shutdown) {
        let mut watcher = Watch::new(again.clone());
        let mut last = Arc::new(Scan::default());
        loop {
            watcher.keep(&self.path);
            let (folder, before) = (self.clone(), last.clone());
            let look = tokio::task::spawn_blocking(move || scan::scan(&folder.path, &folder.owner, &before));
            let Ok(scan) = look.await else { return };
            last = Arc::new(scan);
            if sender.send(last.clone()).is_err() {
                return;
            }
            tokio::select! {
                () = shutdown.begun() => return,
                () = changed(&again) => {}
            }
        }
    }
}

/// The manifests of a folder, or of one file, as they are now. Blocks. An error if not all of them can be listed.
pub(crate) fn look(path: &Path) -> io::Result<Scan> {
    if std::fs::metadata(path)?.is_file() {
        return Ok(scan::one(path));
    }
    let scan = scan::scan(path, "", &Scan::default());
    match scan.incomplete {
        Some(reason) => Err(io::Error::other(reason)),
        None => Ok(scan),
    }
}

/// Waits for a change and for quiet after it, or for the time of the next look.
async fn changed(again: &Notify) {
    if timeout(RESCAN, again.notified()).await.is_err() {
        return;
    }
    let first = Instant::now();
    while first.elapsed() < RESTLESS && timeout(QUIET, again.notified()).await.is_ok() {}
}

/// The kernel's watch on the folder that has the path now.
struct Watch {
    again: Arc<Notify>,
    /// The watch, and which folder it is on: another one may get the same path.
    current: Option<(RecommendedWatcher, (u64, u64))>,
}

impl Watch {
    fn new(again: Arc<Notify>) -> Self {
        Self { again, current: None }
    }

    /// Watches what is at `path` now; without a watch the looks every few seconds remain.
    fn keep(&mut self, path: &Path) {
        let identity = std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        if self.current.as_ref().map(|(_, identity)| *identity) == identity {
            return;
        }
        self.current = identity.and_then(|identity| Some((self.start(path)?, identity)));
    }

    fn start(&self, path: &Path) -> Option<RecommendedWatcher> {
        let again = self.again.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| matters(event.kind)) {
                again.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| tracing::warn!(%error, "changes of the folder are seen only every few seconds"))
            .ok()
    }
}

/// Reading the files must not look like a change of them.
fn matters(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
