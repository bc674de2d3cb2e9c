//! One file's text becomes manifests. A document that is wrong takes nothing from the others.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use crate::crd::{self, API_VERSION, PLATFORM_KIND, ROOM_KIND};
use crate::fault::{Fault, Path};
use crate::room::validate;
use crate::source::{File, Manifest, Place};

/// Namespace of a manifest that names none.
const NAMESPACE: &str = "default";
/// Longest name of a room: one word of a routing key, and a DNS label.
const ROOM_NAME_MOST: usize = 63;
/// Longest name of a platform: it begins the names of Deployments.
const PLATFORM_NAME_MOST: usize = 40;
/// Deepest nesting that any manifest needs, and more.
const DEPTH_MOST: usize = 64;

/// Reads the manifests of a file called `name`, whose rooms belong to `owner`.
pub(super) fn file(name: &Arc<str>, owner: &Arc<str>, text: &str) -> File {
    let text: Arc<str> = text.into();
    let mut file = empty(name, Some(text.clone()));
    for (index, deserializer) in serde_yaml_ng::Deserializer::from_str(&text).enumerate() {
        let place = Place::Document { file: name.clone(), text: text.clone(), index };
        let yaml = match Yaml::deserialize(deserializer) {
            Ok(yaml) => yaml,
            Err(error) => {
                // What follows cannot be told apart any more.
                file.faults.push(syntax(name, &error));
                file.whole = false;
                break;
            }
        };
        if yaml.is_null() {
            continue;
        }
        if let Err(faults) = document_into(&mut file, place.clone(), owner, yaml) {
            file.faults.extend(faults.iter().map(|fault| place.describe(fault)));
            file.whole = false;
        }
    }
    file
}

/// A file that is there but cannot be read.
pub(super) fn unreadable(name: &Arc<str>, reason: &str) -> File {
    let mut file = empty(name, None);
    file.faults.push(format!("{name}: {reason}"));
    file.whole = false;
    file
}

fn empty(name: &Arc<str>, text: Option<Arc<str>>) -> File {
    File { name: name.clone(), text, rooms: Vec::new(), platforms: Vec::new(), faults: Vec::new(), whole: true }
}

fn syntax(name: &str, error: &serde_yaml_ng::Error) -> String {
    let line = error.location().map_or(1, |location| location.line());
    format!("{name}:{line}: is no YAML: {error}")
}

fn document_into(file: &mut File, place: Place, owner: &Arc<str>, yaml: Yaml) -> Result<(), Vec<Fault>> {
    let value = json(yaml, &Path::default(), DEPTH_MOST).map_err(|fault| vec![fault])?;
    let object = crd::without_nulls(value);
    let kind = kind(&object)?;
    let longest = match kind {
        Kind::Room => ROOM_NAME_MOST,
        Kind::Platform => PLATFORM_NAME_MOST,
    };
    let room = validate::name(&object["metadata"], NAMESPACE, longest)?;
    let manifest = Arc::new(Manifest { room, owner: owner.clone(), place, generation: None, object });
    match kind {
        Kind::Room => file.rooms.push(manifest),
        Kind::Platform => file.platforms.push(manifest),
    }
    Ok(())
}

enum Kind {
    Room,
    Platform,
}

fn kind(object: &Value) -> Result<Kind, Vec<Fault>> {
    let Some(fields) = object.as_object() else {
        let message = format!("is no manifest: write apiVersion: {API_VERSION}, kind: {ROOM_KIND} and metadata");
        return Err(vec![Fault::new(Path::default(), message)]);
    };
    let mut faults = Vec::new();
    if object["apiVersion"] != API_VERSION {
        faults.push(Fault::new(Path::of(&["apiVersion"]), format!("write {API_VERSION}")));
    }
    let kind = match object["kind"].as_str() {
        Some(ROOM_KIND) => Some(Kind::Room),
        Some(PLATFORM_KIND) => Some(Kind::Platform),
        _ => {
            faults.push(Fault::new(Path::of(&["kind"]), format!("write {ROOM_KIND} or {PLATFORM_KIND}")));
            None
        }
    };
    // `status` comes with manifests that were taken from a cluster; it is a report, never an input.
    for name in fields.keys().filter(|name| !["apiVersion", "kind", "metadata", "spec", "status"].contains(&&***name)) {
        let message = "there is no such field: beside apiVersion, kind and metadata everything stands under spec";
        faults.push(Fault::new(Path::of(&[name]), message));
    }
    metadata(object.get("metadata"), &mut faults);
    kind.filter(|_| faults.is_empty()).ok_or(faults)
}

/// Fields that every object of Kubernetes may have.
const METADATA: [&str; 16] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generateName",
    "managedFields",
    "ownerReferences",
    "selfLink",
    "clusterName",
];

fn metadata(found: Option<&Value>, faults: &mut Vec<Fault>) {
    let at = Path::of(&["metadata"]);
    match found {
        None => faults.push(Fault::new(at, "is missing: write metadata: {name: …}")),
        Some(Value::Object(fields)) => {
            for name in fields.keys().filter(|name| !METADATA.contains(&name.as_str())) {
                faults.push(Fault::new(at.field(name), "there is no such field: names are name and namespace"));
            }
        }
        Some(_) => faults.push(Fault::new(at, "write fields, as metadata: {name: general}")),
    }
}

/// YAML has more than JSON: names that are no text, tags, numbers that are none.
fn json(yaml: Yaml, path: &Path, depth: usize) -> Result<Value, Fault> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Fault::new(path.clone(), "is nested too deep"));
    };
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(truth) => Value::Bool(truth),
        Yaml::Number(number) => serde_json::to_value(&number)
            .ok()
            .filter(|value| !value.is_null())
            .ok_or_else(|| Fault::new(path.clone(), "is no number that a manifest may hold"))?,
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => {
            let items = items.into_iter().enumerate();
            Value::Array(
                items.map(|(index, item)| json(item, &path.item(index), depth)).collect::<Result<Vec<_>, _>>()?,
            )
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                let Yaml::String(name) = name else {
                    return Err(Fault::new(path.clone(), "has a name that is no text: put it in quotes"));
                };
                let value = json(value, &path.field(&name), depth)?;
                object.insert(name, value);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            return Err(Fault::new(path.clone(), format!("has the tag {}: leave it out", tagged.tag)));
        }
    })
}

/// A file as other modules' tests make it.
#[cfg(test)]
pub(crate) fn file_for_tests(name: &Arc<str>, owner: &str, text: &str) -> File {
    file(name, &owner.into(), text)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
