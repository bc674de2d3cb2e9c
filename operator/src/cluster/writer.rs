//! Writes to ChatRooms and ChatPlatforms what is said of them, and a finalizer where a room's deletion must delete. Only what differs
//! is written, and each object by itself: one that refuses holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contract::room::RoomName;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use service::retry::Backoff;
use service::shutdown::Shutdown;
use tokio::time::{Instant, sleep, timeout};

use super::finalizer::{Rows, finalizers};
use super::platform_status::{self, differ_in_numbers};
use super::platforms::Contexts;
use super::room_status::{is_settled, status};
use crate::crd::chat_platform::ChatPlatform;
use crate::crd::chat_room::ChatRoom;
use crate::report::{Boards, Reason, RoomReport};
use crate::source::cluster::Objects;

/// Writes at a time.
const WRITES_MOST: usize = 16;
/// The longest that one write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// What is said within this time is written together.
const QUIET: Duration = Duration::from_millis(50);
/// A new room that is ready within this time gets one status, not two.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two writes of a platform's status in which only the numbers of rooms differ.
const NUMBERS: Duration = Duration::from_secs(5);
/// Without any change: what waits for a time is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// Writes while this operator is the one that acts.
pub(crate) struct Writer {
    client: Client,
    objects: Objects,
    boards: Boards,
    contexts: Contexts,
    /// What owners of this cluster begin with.
    owners: String,
    /// Statuses that were written and that the watch may not have told of yet, by uid.
    written: BTreeMap<String, Written>,
}

struct Written {
    at: Instant,
    /// Until the watch has told of it.
    version: Option<String>,
    status: Value,
}

/// What is to be written to one object.
#[derive(Debug, Clone, PartialEq)]
struct Write {
    kind: ApiResource,
    namespace: String,
    name: String,
    uid: String,
    /// All finalizers that the object is to have.
    finalizers: Option<Vec<String>>,
    status: Option<Value>,
}

impl Writer {
    /// Writes nothing before `run`.
    pub(crate) fn new(client: Client, objects: Objects, boards: Boards, contexts: Contexts, owners: &str) -> Self {
        Self { client, objects, boards, contexts, owners: owners.to_owned(), written: BTreeMap::new() }
    }

    /// Writes until shutdown, or until it is dropped.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut reports = self.boards.changes();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let all = self.round().await;
            let pause = if all { QUIET } else { backoff.next() };
            if all {
                backoff.reset();
            }
            tokio::select! {
                () = shutdown.begun() => return,
                () = sleep(pause) => {}
            }
            if all {
                tokio::select! {
                    () = shutdown.begun() => return,
                    _ = reports.changed() => {}
                    _ = self.objects.changed.changed() => {}
                    () = sleep(IDLE) => {}
                }
            }
        }
    }

    /// Everything that differs now; false if some of it was not written.
    async fn round(&mut self) -> bool {
        let writes = self.plan(Timestamp::now());
        let results: Vec<(Write, Result<Option<DynamicObject>, kube::Error>)> = futures::stream::iter(writes)
            .map(|write| {
                let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &write.namespace, &write.kind);
                async move {
                    let outcome = perform(&api, &write).await;
                    (write, outcome)
                }
            })
            .buffer_unordered(WRITES_MOST)
            .collect()
            .await;
        let mut all = true;
        for (write, outcome) in results {
            match outcome {
                Ok(Some(object)) => {
                    let (version, status) = (object.metadata.resource_version, object.data["status"].clone());
                    self.written.insert(write.uid, Written { at: Instant::now(), version, status });
                }
                Ok(None) => {}
                // Gone, or another object by now: the watch tells.
                Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => {}
                Err(error) => {
                    all = false;
                    let (namespace, name) = (&write.namespace, &write.name);
                    tracing::warn!(namespace, name, %error, "the object is not written yet");
                }
            }
        }
        all
    }

    fn plan(&mut self, now: Timestamp) -> Vec<Write> {
        let (rooms, platforms) = (self.objects.rooms.state(), self.objects.platforms.state());
        let reports = self.boards.read().rooms;
        let rows = self.rows();
        self.compare(rooms.iter().chain(&platforms));
        let room = |object: &Arc<DynamicObject>| {
            let known = self.known(object).map(|written| &written.status);
            plan(object, known, reports.get(&name(object)?), &rows, now)
        };
        let platform = |object: &Arc<DynamicObject>| self.platform(object, now);
        rooms.iter().filter_map(room).chain(platforms.iter().filter_map(platform)).collect()
    }

    /// Once the watch has told of a write, the object itself knows.
    fn compare<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<DynamicObject>>) {
        let uid =
            |object: &'a Arc<DynamicObject>| Some((object.metadata.uid.as_deref()?, &object.metadata.resource_version));
        let current: BTreeMap<&str, &Option<String>> = objects.filter_map(uid).collect();
        self.written.retain(|uid, written| {
            let version = current.get(uid.as_str());
            if version.is_some_and(|version| **version == written.version) {
                written.version = None;
            }
            version.is_some()
        });
    }

    /// What was written last.
    fn known(&self, object: &DynamicObject) -> Option<&Written> {
        self.written.get(object.metadata.uid.as_deref()?).filter(|written| written.version.is_some())
    }

    /// What is to be written to a ChatPlatform. Numbers alone may wait a little: rooms come by the hundred.
    fn platform(&self, object: &DynamicObject, now: Timestamp) -> Option<Write> {
        let reports = self.boards.find(&name(object)?.to_string())?.read();
        let before = self.known(object).map_or(&object.data["status"], |written| &written.status);
        let generation = object.metadata.generation.unwrap_or_default();
        let wanted = platform_status::status(&reports, generation, before, now);
        let written = self.written.get(object.metadata.uid.as_deref()?);
        let lately = written.is_some_and(|written| written.at.elapsed() < NUMBERS);
        if wanted == *before || (lately && differ_in_numbers(&wanted, before)) {
            return None;
        }
        let kind = ApiResource::erase::<ChatPlatform>(&());
        Write::new(object, kind, None, Some(wanted))
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        for platform in self.objects.platforms.state() {
            let context = name(&platform).and_then(|platform| self.contexts.of(&platform));
            let read = context.is_some_and(|context| {
                let world = context.world();
                let read = !world.platform_id.is_empty();
                if read {
                    rows.add(&world, &self.owners);
                }
                read
            });
            if !read {
                rows.unread.push(platform);
            }
        }
        rows
    }
}

impl Write {
    fn new(
        object: &DynamicObject,
        kind: ApiResource,
        finalizers: Option<Vec<String>>,
        status: Option<Value>,
    ) -> Option<Self> {
        let metadata = &object.metadata;
        let (namespace, name, uid) = (metadata.namespace.clone()?, metadata.name.clone()?, metadata.uid.clone()?);
        Some(Self { kind, namespace, name, uid, finalizers, status })
    }
}

fn name(object: &DynamicObject) -> Option<RoomName> {
    RoomName::new(object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?).ok()
}

/// What is to be written to an object of which `report` is said. `known` is its status where it is newer than the object's.
fn plan(
    object: &DynamicObject,
    known: Option<&Value>,
    report: Option<&RoomReport>,
    rows: &Rows,
    now: Timestamp,
) -> Option<Write> {
    let finalizers = finalizers(object, rows, now);
    let leaves = object.metadata.deletion_timestamp.is_some() && finalizers.is_some();
    let status = report.filter(|_| !leaves).and_then(|report| new_status(object, known, report, now));
    if finalizers.is_none() && status.is_none() {
        return None;
    }
    Write::new(object, ApiResource::erase::<ChatRoom>(&()), finalizers, status)
}

fn new_status(object: &DynamicObject, known: Option<&Value>, report: &RoomReport, now: Timestamp) -> Option<Value> {
    let generation = object.metadata.generation.unwrap_or_default();
    let before = known.unwrap_or(&object.data["status"]);
    // Said of an older version: the newer one is on its way.
    if report.generation.is_some_and(|of| of < generation) {
        return None;
    }
    // A server that is away changes nothing for a room that was settled; nor does an operator that has just started.
    if (report.reason.is_away() || report.reason == Reason::Pending) && is_settled(before, generation) {
        return None;
    }
    if report.reason == Reason::Pending && (!before.is_null() || age(object, now) < PATIENCE) {
        return None;
    }
    let wanted = status(report, generation, before, now);
    (wanted != *before).then_some(wanted)
}

fn age(object: &DynamicObject, now: Timestamp) -> Duration {
    let created = object.metadata.creation_timestamp.as_ref().map_or(now, |created| created.0);
    Duration::try_from(now.duration_since(created)).unwrap_or_default()
}

/// The finalizer first: a room that is ready is one whose deletion deletes.
async fn perform(api: &Api<DynamicObject>, write: &Write) -> Result<Option<DynamicObject>, kube::Error> {
    let params = PatchParams::default();
    let limited = async {
        let mut object = None;
        if let Some(finalizers) = &write.finalizers {
            let patch = json!({"metadata": {"uid": write.uid, "finalizers": finalizers}});
            api.patch(&write.name, &params, &Patch::Merge(patch)).await?;
        }
        if let Some(status) = &write.status {
            let patch = json!({"metadata": {"uid": write.uid}, "status": replacing(status)});
            object = Some(api.patch_status(&write.name, &params, &Patch::Merge(patch)).await?);
        }
        Ok(object)
    };
    timeout(WRITE_LIMIT, limited).await.unwrap_or_else(|_| {
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the API server does not answer in time");
        Err(kube::Error::Service(Box::new(error)))
    })
}

/// A merge patch leaves what it does not name: what is absent is named as null.
fn replacing(status: &Value) -> Value {
    let mut patch = status.clone();
    for name in ["epoch", "stream", "membersPending", "endpoint", "version"] {
        if status[name].is_null() {
            patch[name] = Value::Null;
        }
    }
    patch
}
