//! Step 2, pure: a manifest becomes a room that can be built, or a list of faults; then the platform says whether it takes it.

use contract::position::Epoch;
use contract::room::RoomName;
use serde_json::Value;

use super::dereference::Found;
use super::{Claim, Ground};
use crate::crd::chat_room::ChatRoomSpec;
use crate::crd::{self, Schemas, shape};
use crate::fault::{Fault, Path};
use crate::report::Reason;

/// Longest name of a namespace, in Kubernetes.
const NAMESPACE_MOST: usize = 63;
/// Annotation that asks for a new log, while the newest one is the epoch that it names.
pub(crate) const REPLACE_LOG: &str = "parlor.dev/replace-log";

/// A room as a good manifest says it, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValidatedRoom {
    /// Its address.
    pub(crate) name: RoomName,
    /// What it is to be.
    pub(crate) spec: ChatRoomSpec,
    /// A new log is asked for while the newest is this one.
    pub(crate) replace_log: Option<Epoch>,
}

/// Checks a whole object (`metadata`, `spec`) that is to be the room `name`.
pub(crate) fn room(schemas: &Schemas, name: &RoomName, object: &Value) -> Result<ValidatedRoom, Vec<Fault>> {
    let none = Value::Object(serde_json::Map::new());
    let written = object.get("spec").unwrap_or(&none);
    let at = Path::of(&["spec"]);
    let mut faults = crd::check(&schemas.room["properties"]["spec"], written, &at);
    let replace_log = replace_log(object).unwrap_or_else(|fault| {
        faults.push(fault);
        None
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let spec: ChatRoomSpec =
        serde_json::from_value(written.clone()).map_err(|error| vec![Fault::new(at, error.to_string())])?;
    Ok(ValidatedRoom { name: name.clone(), spec, replace_log })
}

fn replace_log(object: &Value) -> Result<Option<Epoch>, Fault> {
    let at = Path::of(&["metadata", "annotations"]).field(REPLACE_LOG);
    match &object["metadata"]["annotations"][REPLACE_LOG] {
        Value::Null => Ok(None),
        Value::String(text) => match text.parse() {
            Ok(epoch) => Ok(Some(epoch)),
            Err(error) => Err(Fault::new(at, format!("`{text}` does not fit: {error}"))),
        },
        _ => Err(Fault::new(at, "write the epoch of the log to replace, as 1-k3f9qa")),
    }
}

/// A room with its row, after validation.
#[derive(Debug)]
pub(super) struct Checked {
    /// The room and its row.
    pub(super) found: Found,
    /// What it is to be; `None` where nobody declares it; else why it is not worked on.
    pub(super) valid: Result<Option<ValidatedRoom>, Refusal>,
}

/// Why a manifest is not worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Why.
    pub(super) reason: Reason,
    /// With the cure.
    pub(super) message: String,
}

impl Refusal {
    /// For this reason.
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Checks a set of rooms against schema and platform.
pub(super) fn all(ground: &Ground, found: Vec<Found>) -> Vec<Checked> {
    found
        .into_iter()
        .map(|found| {
            let valid = found.subject.claim.as_ref().map(|claim| claimed(ground, claim)).transpose();
            Checked { found, valid }
        })
        .collect()
}

fn claimed(ground: &Ground, claim: &Claim) -> Result<ValidatedRoom, Refusal> {
    let manifest = &claim.manifest;
    let place =
        |field: &str, message: String| manifest.place.describe(&Fault::new(Path::of(&["spec", field]), message));
    let valid = room(&ground.schemas, &manifest.room, &manifest.object).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| manifest.place.describe(fault)).collect();
        Refusal::new(Reason::InvalidManifest, lines.join("\n"))
    })?;
    let platform = &ground.platform;
    if let Some(reference) = &valid.spec.platform_ref
        && !platform.is_meant(reference, valid.name.namespace())
    {
        let message =
            format!("the platform {} is not the one of this folder: name that, or leave the field out", reference.name);
        return Err(Refusal::new(Reason::PlatformNotFound, place("platformRef", message)));
    }
    if !platform.classes.contains_key(&valid.spec.class_name) {
        let names: Vec<&str> = platform.classes.keys().map(String::as_str).collect();
        let message = format!("there is no class `{}`: write one of {}", valid.spec.class_name, names.join(", "));
        return Err(Refusal::new(Reason::ClassNotFound, place("className", message)));
    }
    if claim.over_quota {
        let message = format!(
            "namespace {} has as many rooms as the platform allows: remove one, or raise spec.rooms.maxPerNamespace",
            valid.name.namespace()
        );
        return Err(Refusal::new(Reason::QuotaExceeded, message));
    }
    Ok(valid)
}

/// Name, of at most `longest` letters, and namespace of an object; the namespace may be absent where a source has a default for it.
pub(crate) fn name(metadata: &Value, default_namespace: &str, longest: usize) -> Result<RoomName, Vec<Fault>> {
    let mut faults = Vec::new();
    let namespace = match metadata.get("namespace") {
        None => default_namespace,
        Some(found) => label(found, NAMESPACE_MOST, &Path::of(&["metadata", "namespace"]), &mut faults),
    };
    let name = match metadata.get("name") {
        None => {
            faults.push(Fault::new(Path::of(&["metadata", "name"]), "is missing: every manifest needs a name"));
            ""
        }
        Some(found) => label(found, longest, &Path::of(&["metadata", "name"]), &mut faults),
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    RoomName::new(namespace, name).map_err(|error| vec![Fault::new(Path::of(&["metadata"]), error.to_string())])
}

/// One word of a routing key. The first fault is the one that is told.
fn label<'a>(found: &'a Value, longest: usize, path: &Path, faults: &mut Vec<Fault>) -> &'a str {
    let schema = serde_json::json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": shape::LABEL});
    if let Some(fault) = crd::check(&schema, found, path).into_iter().next() {
        faults.push(fault);
    }
    found.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::schemas;
    use serde_json::json;

    fn faults(object: &Value) -> Vec<String> {
        let name = "team-a/general".parse().unwrap();
        let faults = room(&schemas().unwrap(), &name, object).err().unwrap_or_default();
        faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
    }

    #[test]
    fn a_manifest_without_a_spec_is_a_room_with_all_defaults() {
        let name = "default/lounge".parse().unwrap();
        let room = room(&schemas().unwrap(), &name, &json!({"metadata": {"name": "lounge"}})).unwrap();
        assert_eq!(room.spec.class_name, "standard");
        assert_eq!(room.spec.uploads.max_bytes.count(), 25 << 20);
        assert!(room.spec.members.is_empty() && room.replace_log.is_none());
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let found = faults(&json!({"spec": {"topic": 7, "limits": {"burst": 0}, "suspend": "yes"}}));
        assert_eq!(
            found,
            [
                "spec.limits.burst: 0 is out of range: write 1 to 10000",
                "spec.suspend: write true or false, not the text `yes`",
                "spec.topic: write a text, not 7: put it in quotes",
            ]
        );
    }

    #[test]
    fn rules_about_several_fields_are_checked_too() {
        let many = json!({"spec": {"limits": {"maxMembers": 1}, "members": [{"user": "a"}, {"user": "b"}]}});
        assert_eq!(
            faults(&many),
            ["spec.members: names more people than spec.limits.maxMembers allows: raise that, or name fewer"]
        );
        let large = json!({"spec": {"uploads": {"maxBytes": "6Gi"}}});
        assert_eq!(faults(&large), ["spec.uploads.maxBytes: is too much: write at most 5Gi"]);
    }

    #[test]
    fn the_annotation_names_an_epoch() {
        let object = |value: Value| json!({"metadata": {"annotations": {REPLACE_LOG: value}}});
        let name = "a/b".parse().unwrap();
        let room = room(&schemas().unwrap(), &name, &object(json!("2-abcdef"))).unwrap();
        assert_eq!(room.replace_log.unwrap().ordinal(), 2);
        assert_eq!(faults(&object(json!("now"))).len(), 1);
        assert_eq!(faults(&object(json!(1))).len(), 1);
    }

    #[test]
    fn a_name_is_one_word_of_a_routing_key() {
        assert_eq!(name(&json!({"name": "x"}), "default", 63).unwrap().as_str(), "default/x");
        for wrong in
            [json!({}), json!({"name": "a.b"}), json!({"name": 5}), json!({"name": "x", "namespace": "~people"})]
        {
            assert!(name(&wrong, "default", 63).is_err(), "{wrong}");
        }
    }
}
