//! Makes a platform's objects as they are to be, by server-side apply. What nobody changed since is not applied again; what is ours
//! and not wanted any more is deleted.

use std::collections::{BTreeMap, BTreeSet};

use contract::room::RoomName;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective};
use kube::{Api, Client};
use serde_json::Value;

use super::build::{self, Kind, MANAGER, Object};

/// Requests at a time.
const REQUESTS_MOST: usize = 8;

/// Where an object is found.
pub(super) type Key = (Kind, String);

/// What is there now, by kind and name.
pub(super) type Found = BTreeMap<Key, DynamicObject>;

/// Applies the objects of one platform.
pub(super) struct Applier {
    client: Client,
    platform: RoomName,
    applied: BTreeMap<Key, Applied>,
}

struct Applied {
    value: Value,
    /// The object's version after that.
    version: Option<String>,
}

impl Applier {
    /// Has applied nothing yet: a new operator applies everything once, which changes nothing where nothing differs.
    pub(super) fn new(client: Client, platform: &RoomName) -> Self {
        Self { client, platform: platform.clone(), applied: BTreeMap::new() }
    }

    /// Makes them so. Gives what is there, and what went wrong: one object that is refused holds up no other.
    pub(super) async fn round(&mut self, objects: &[Object]) -> Result<(Found, Vec<String>), kube::Error> {
        let mut found = self.found(objects).await?;
        let wanted: BTreeSet<Key> = objects.iter().map(key).collect();
        let due = objects.iter().filter(|object| self.is_due(object, &found));
        let applying: Vec<BoxFuture<'_, _>> =
            due.map(|object| self.apply(object, found.contains_key(&key(object))).boxed()).collect();
        let results: Vec<(&Object, Result<DynamicObject, String>)> =
            futures::stream::iter(applying).buffered(REQUESTS_MOST).collect().await;
        let mut faults = Vec::new();
        for (wanted, result) in results {
            let key = key(wanted);
            match result {
                Ok(object) => {
                    tracing::info!(platform = %self.platform, kind = ?key.0, name = key.1, "applied");
                    let version = object.metadata.resource_version.clone();
                    self.applied.insert(key.clone(), Applied { value: wanted.value.clone(), version });
                    found.insert(key, object);
                }
                Err(fault) => faults.push(fault),
            }
        }
        self.applied.retain(|key, _| wanted.contains(key));
        let surplus: Vec<Key> = found.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for key in surplus {
            match self.api(key.0).delete(&key.1, &DeleteParams::background()).await {
                // Somebody else was quicker.
                Err(kube::Error::Api(error)) if error.code == 404 => {}
                Err(error) => faults.push(format!("{:?} {} cannot be deleted: {error}", key.0, key.1)),
                Ok(_) => {}
            }
            found.remove(&key);
        }
        Ok((found, faults))
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), self.platform.namespace(), &kind.resource())
    }

    /// Secrets one by one: the operator may not list them.
    async fn found(&self, objects: &[Object]) -> Result<Found, kube::Error> {
        let params = ListParams::default().labels(&build::selector(&self.platform));
        let mut found = Found::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Secret) {
            for object in self.api(kind).list(&params).await? {
                // What is on its way out is not there any more.
                if let Some(name) =
                    object.metadata.name.clone().filter(|_| object.metadata.deletion_timestamp.is_none())
                {
                    found.insert((kind, name), object);
                }
            }
        }
        for object in objects.iter().filter(|object| object.kind == Kind::Secret) {
            let (kind, name) = key(object);
            if let Some(secret) = self.api(kind).get_opt(&name).await?.filter(is_ours) {
                found.insert((kind, name), secret);
            }
        }
        Ok(found)
    }

    fn is_due(&self, object: &Object, found: &Found) -> bool {
        let key = key(object);
        let version = found.get(&key).map(|found| &found.metadata.resource_version);
        let applied = self.applied.get(&key);
        !applied.is_some_and(|applied| applied.value == object.value && version == Some(&applied.version))
    }

    async fn apply<'a>(&self, object: &'a Object, there: bool) -> (&'a Object, Result<DynamicObject, String>) {
        (object, self.put(object, there).await)
    }

    async fn put(&self, object: &Object, there: bool) -> Result<DynamicObject, String> {
        let (kind, name) = key(object);
        let api = self.api(kind);
        let failed = |error: kube::Error| format!("{kind:?} {name} cannot be applied: {error}");
        // One that somebody else made under this name is theirs.
        if !there && api.get_opt(&name).await.map_err(failed)?.is_some_and(|object| !is_ours(&object)) {
            return Err(format!("{kind:?} {name} is there and not ours: remove it, or give the platform another name"));
        }
        let mut params = PatchParams::apply(MANAGER).force();
        // A field that the server does not know is a fault of this program.
        params.field_validation = Some(ValidationDirective::Strict);
        api.patch(&name, &params, &Patch::Apply(&object.value)).await.map_err(failed)
    }
}

fn key(object: &Object) -> Key {
    (object.kind, object.value["metadata"]["name"].as_str().unwrap_or_default().to_owned())
}

fn is_ours(object: &DynamicObject) -> bool {
    let labels = object.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("app.kubernetes.io/managed-by")).is_some_and(|manager| manager == MANAGER)
}
