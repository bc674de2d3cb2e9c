//! One stored object becomes a manifest, pure. What did not change since the last scan is the same value, so that a written status
//! is no news.

use std::sync::Arc;

use contract::room::RoomName;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::crd::chat_platform::DEFAULT;
use crate::crd::without_nulls;
use crate::room::validate::REPLACE_LOG;
use crate::source::{File, Manifest, Place, Scan};

/// Puts a ChatRoom into the scan.
pub(super) fn add_room(scan: &mut Scan, object: &DynamicObject, owners: &str, before: &Scan) {
    let Some(manifest) = manifest(object, owners) else { return };
    if object.metadata.deletion_timestamp.is_some() {
        // Whatever its spec says by now: a deletion is not held up by it.
        scan.deleting.insert(manifest.room.clone(), manifest.owner.clone());
        return;
    }
    let name = manifest.room.to_string();
    let file = known(before, name, manifest, |file| &file.rooms, |file, manifest| file.rooms.push(manifest));
    scan.files.insert(file.name.clone(), file);
}

/// Puts a ChatPlatform into the scan.
pub(super) fn add_platform(scan: &mut Scan, object: &DynamicObject, owners: &str, before: &Scan) {
    let Some(manifest) = manifest(object, owners) else { return };
    // A room may have the same name.
    let name = format!("platform {}", manifest.room);
    let file = known(before, name, manifest, |file| &file.platforms, |file, manifest| file.platforms.push(manifest));
    scan.files.insert(file.name.clone(), file);
}

/// `None` for a name that the definitions forbid: it was stored before they did.
fn manifest(object: &DynamicObject, owners: &str) -> Option<Manifest> {
    let metadata = &object.metadata;
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let room = RoomName::new(namespace, name)
        .inspect_err(|error| tracing::warn!(namespace, name, %error, "an object is left alone"))
        .ok()?;
    let annotations: serde_json::Map<String, Value> = metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(name, _)| [REPLACE_LOG, DEFAULT].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let mut whole = json!({"metadata": {"namespace": namespace, "name": name, "annotations": annotations}});
    if let Some(spec) = object.data.get("spec") {
        whole["spec"] = spec.clone();
    }
    Some(Manifest {
        owner: format!("{owners}{}", metadata.uid.as_deref().unwrap_or_default()).into(),
        place: Place::Object(room.to_string().into()),
        generation: metadata.generation,
        object: without_nulls(whole),
        room,
    })
}

/// The file of the last scan, if it says the same.
fn known(
    before: &Scan,
    name: String,
    manifest: Manifest,
    of: fn(&File) -> &Vec<Arc<Manifest>>,
    put: fn(&mut File, Arc<Manifest>),
) -> Arc<File> {
    let name: Arc<str> = name.into();
    if let Some(file) = before.files.get(&name)
        && of(file).first().is_some_and(|known| known.same(&manifest))
    {
        return file.clone();
    }
    let mut file = File { name, text: None, rooms: Vec::new(), platforms: Vec::new(), faults: Vec::new(), whole: true };
    put(&mut file, Arc::new(manifest));
    Arc::new(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(change: impl FnOnce(&mut Value)) -> DynamicObject {
        let mut value = json!({
            "apiVersion": "parlor.dev/v1alpha1", "kind": "ChatRoom",
            "metadata": {"namespace": "team-a", "name": "general", "uid": "u1", "generation": 3, "resourceVersion": "10"},
            "spec": {"topic": "x", "displayName": null},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn scan(object: &DynamicObject, before: &Scan) -> Scan {
        let mut scan = Scan::default();
        add_room(&mut scan, object, "k8s:c/", before);
        scan
    }

    #[test]
    fn a_room_is_what_its_object_says_and_a_written_status_is_no_news() {
        let first = scan(&object(|_| {}), &Scan::default());
        let manifest = &first.files["team-a/general"].rooms[0];
        assert_eq!((&*manifest.owner, manifest.generation), ("k8s:c/u1", Some(3)));
        assert_eq!(manifest.object["spec"], json!({"topic": "x"}));
        let again = |change: fn(&mut Value)| scan(&object(change), &first).same(&first);
        assert!(again(|object| {
            object["metadata"]["resourceVersion"] = json!("11");
            object["metadata"]["annotations"] = json!({"a": "b"});
            object["status"] = json!({"epoch": "1-abcdef"});
        }));
        assert!(!again(|object| object["metadata"]["generation"] = json!(4)));
        assert!(!again(|object| object["metadata"]["annotations"] = json!({REPLACE_LOG: "1-abcdef"})));
        assert!(!again(|object| object["metadata"]["uid"] = json!("u2")));
    }

    #[test]
    fn an_object_that_is_being_deleted_declares_nothing() {
        let scan = scan(
            &object(|object| object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
            &Scan::default(),
        );
        assert!(scan.files.is_empty());
        assert_eq!(&*scan.deleting[&"team-a/general".parse::<RoomName>().unwrap()], "k8s:c/u1");
    }
}
