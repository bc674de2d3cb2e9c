//! The ChatRooms and the ChatPlatform of a Kubernetes cluster, by watches. Objects are read as they are stored, so that one that this
//! version does not understand takes nothing from the others.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use service::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Scan;
use crate::crd::chat_platform::ChatPlatform;
use crate::crd::chat_room::ChatRoom;

mod objects;

/// After an object changed: what changes together is looked at together.
const QUIET: Duration = Duration::from_millis(20);

type Events = Pin<Box<dyn Stream<Item = Result<watcher::Event<DynamicObject>, watcher::Error>> + Send>>;

/// The objects, as the API server last told of them. Clones see the same.
#[derive(Clone)]
pub(crate) struct Objects {
    /// Every ChatRoom.
    pub(crate) rooms: Store<DynamicObject>,
    /// Every ChatPlatform.
    pub(crate) platforms: Store<DynamicObject>,
    /// Says when one of them changed, also in its status.
    pub(crate) changed: watch::Receiver<()>,
}

/// Both watches.
pub(crate) struct Cluster {
    owners: String,
    rooms: (Store<DynamicObject>, Events),
    platforms: (Store<DynamicObject>, Events),
    changed: watch::Sender<()>,
}

impl Cluster {
    /// Watches begin when `watch` runs. Owners of this cluster begin with `owners`.
    pub(crate) fn new(client: &Client, owners: &str) -> Self {
        Self {
            owners: owners.to_owned(),
            rooms: watch_kind(client, &ApiResource::erase::<ChatRoom>(&())),
            platforms: watch_kind(client, &ApiResource::erase::<ChatPlatform>(&())),
            changed: watch::Sender::new(()),
        }
    }

    /// The objects, for whoever writes to them.
    pub(crate) fn objects(&self) -> Objects {
        let changed = self.changed.subscribe();
        Objects { rooms: self.rooms.0.clone(), platforms: self.platforms.0.clone(), changed }
    }

    /// Tells of every change until shutdown, and whenever `again` asks; nothing before both lists are complete.
    pub(crate) async fn watch(self, sender: watch::Sender<Arc<Scan>>, again: Arc<Notify>, shutdown: Shutdown) {
        let Self { owners, rooms: (rooms, mut room_events), platforms: (platforms, mut platform_events), changed } =
            self;
        let mut complete = Complete::default();
        let mut last = Arc::new(Scan::default());
        let mut due = None;
        loop {
            let quiet = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.begun() => return,
                Some(event) = room_events.next() => complete.rooms |= heard(&event),
                Some(event) = platform_events.next() => complete.platforms |= heard(&event),
                () = again.notified() => {}
                () = quiet => {
                    due = None;
                    changed.send_replace(());
                    let scan = scan(&rooms, &platforms, &owners, &last);
                    last = Arc::new(scan);
                    if sender.send(last.clone()).is_err() {
                        return;
                    }
                    continue;
                }
            }
            if complete.rooms && complete.platforms && due.is_none() {
                due = Some(Instant::now() + QUIET);
            }
        }
    }
}

/// Which lists were read to their end.
#[derive(Default)]
struct Complete {
    rooms: bool,
    platforms: bool,
}

fn watch_kind(client: &Client, kind: &ApiResource) -> (Store<DynamicObject>, Events) {
    let writer = reflector::store::Writer::new(kind.clone());
    let store = writer.as_reader();
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let events = watcher(api, watcher::Config::default())
        .modify(|object| {
            // Large, and of no use here.
            object.metadata.managed_fields = None;
        })
        .default_backoff()
        .reflect(writer);
    (store, Box::pin(events))
}

/// Whether a list was read to its end. While the API server is away everything stays as it was.
fn heard(event: &Result<watcher::Event<DynamicObject>, watcher::Error>) -> bool {
    match event {
        Ok(event) => matches!(event, watcher::Event::InitDone),
        Err(error) => {
            tracing::warn!(%error, "the API server does not tell of changes; it is asked again");
            false
        }
    }
}

fn scan(rooms: &Store<DynamicObject>, platforms: &Store<DynamicObject>, owners: &str, before: &Scan) -> Scan {
    let mut scan = Scan::default();
    platforms.state().iter().for_each(|object| objects::add_platform(&mut scan, object, owners, before));
    rooms.state().iter().for_each(|object| objects::add_room(&mut scan, object, owners, before));
    scan
}
