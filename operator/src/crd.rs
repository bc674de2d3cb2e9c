//! The two kinds of manifest, and their definitions for Kubernetes. `operator crd` prints what `crds/` holds.

pub(crate) mod bytes;
pub(crate) mod chat_platform;
pub(crate) mod chat_room;
mod law;
pub(crate) mod scaling;
pub(crate) mod shape;
mod structure;

use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::fault::{Fault, Path};
pub(crate) use structure::without_nulls;

/// Group and version of both kinds.
pub(crate) const API_VERSION: &str = "parlor.dev/v1alpha1";
/// Kind of a room's manifest.
pub(crate) const ROOM_KIND: &str = "ChatRoom";
/// Kind of a platform's manifest.
pub(crate) const PLATFORM_KIND: &str = "ChatPlatform";

/// Why the definitions cannot be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrdError {
    /// Never for the types of this module.
    #[error("failed to write a definition as JSON")]
    Json(#[from] serde_json::Error),
    /// Never for the types of this module.
    #[error("failed to write a definition as YAML")]
    Yaml(#[from] serde_yaml_ng::Error),
}

/// Both definitions as YAML documents.
pub(crate) fn print() -> Result<String, CrdError> {
    let mut text = String::new();
    for (index, mut definition) in definitions()?.into_iter().enumerate() {
        shape::say_cures(&mut definition);
        if index > 0 {
            text.push_str("---\n");
        }
        text.push_str("# Printed by `operator crd`. Change operator/src/crd/ and run `cargo xtask gen`.\n");
        text.push_str(&serde_yaml_ng::to_string(&definition)?);
    }
    Ok(text)
}

/// The schema of the whole object of each kind: what `validate` checks a manifest against.
#[derive(Debug, Clone)]
pub(crate) struct Schemas {
    /// Of a ChatRoom.
    pub(crate) room: Value,
    /// Of a ChatPlatform.
    pub(crate) platform: Value,
}

/// The schemas as Kubernetes would enforce them.
pub(crate) fn schemas() -> Result<Schemas, CrdError> {
    let schema = |definition: &Value| definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let [room, platform] = definitions()?;
    Ok(Schemas { room: schema(&room), platform: schema(&platform) })
}

/// Faults of a value as Kubernetes finds them: of its structure, and once that is right, of its laws.
pub(crate) fn check(schema: &Value, value: &Value, path: &Path) -> Vec<Fault> {
    let faults = structure::check(schema, value, path);
    if faults.is_empty() { law::check(schema, value, path) } else { faults }
}

fn definitions() -> Result<[Value; 2], CrdError> {
    let room = serde_json::to_value(chat_room::ChatRoom::crd())?;
    let platform = serde_json::to_value(chat_platform::ChatPlatform::crd())?;
    Ok([finish(room), finish(platform)])
}

/// What the derive macro does not say: only a name is required, an explicit null is an absent field, and no format but Kubernetes' own.
fn finish(mut definition: Value) -> Value {
    let root = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    if let Some(root) = root.as_object_mut() {
        root.remove("required");
    }
    if let Some(spec) = root.pointer_mut("/properties/spec").and_then(Value::as_object_mut) {
        spec.insert("default".to_owned(), json!({}));
    }
    plain(root);
    definition
}

/// Takes `nullable` and the formats of Rust's unsigned numbers out of a schema and all schemas in it; bounds are whole numbers; what a
/// quantity is takes one line, not Kubernetes' forty.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("nullable");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                fields
                    .insert("description".to_owned(), json!("A number, with or without a unit, as `500m` or `256Mi`."));
            }
            for name in ["minimum", "maximum"] {
                let bound = fields.get(name).and_then(Value::as_f64);
                #[expect(clippy::cast_possible_truncation, reason = "no bound here is above 2^53")]
                if let Some(bound) = bound.filter(|bound| bound.fract() == 0.0) {
                    fields.insert(name.to_owned(), json!(bound as i64));
                }
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Visits every schema in a schema.
#[cfg(test)]
fn walk<'a>(schema: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|inner| walk(inner, visit));
        }
        Value::Array(items) => items.iter().for_each(|inner| walk(inner, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_definitions_are_what_is_printed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
        let mut found = String::new();
        for (index, name) in ["chatrooms", "chatplatforms"].iter().enumerate() {
            let text = std::fs::read_to_string(folder.join(format!("{name}.parlor.dev.yaml"))).unwrap();
            found.push_str(if index > 0 { "---\n" } else { "" });
            found.push_str(&text);
        }
        assert!(found == print().unwrap(), "crds/ is out of date: run `cargo xtask gen`");
    }

    #[test]
    fn every_pattern_has_its_rule_in_plain_code() {
        let schemas = schemas().unwrap();
        let mut patterns = 0;
        for schema in [&schemas.room, &schemas.platform] {
            walk(&schema["properties"]["spec"], &mut |fields| {
                if let Some(Value::String(pattern)) = fields.get("pattern") {
                    assert!(shape::of(pattern).is_some(), "{pattern}");
                    patterns += 1;
                }
            });
        }
        assert!(patterns >= 12, "{patterns}");
    }

    #[test]
    fn every_field_of_both_kinds_says_what_it_is_for() {
        let schemas = schemas().unwrap();
        for schema in [&schemas.room, &schemas.platform] {
            walk(&schema["properties"], &mut |fields| {
                let Some(Value::Object(properties)) = fields.get("properties") else { return };
                for (name, property) in properties {
                    let described = property.get("description").is_some_and(|text| !text.as_str().unwrap().is_empty());
                    assert!(described, "{name}: {property}");
                }
            });
        }
    }

    #[test]
    fn a_room_needs_nothing_but_a_name_and_gets_the_defaults_of_the_protocol() {
        let room = schemas().unwrap().room;
        assert!(room.get("required").is_none());
        let spec: chat_room::ChatRoomSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(spec.class_name, "standard");
        assert_eq!(spec.limits.message_bytes, 8192);
        let defaults = &room["properties"]["spec"]["properties"];
        assert_eq!(defaults["limits"]["properties"]["burst"]["default"], 20);
        assert_eq!(defaults["visibility"]["default"], "Public");
        assert_eq!(defaults["deletionPolicy"]["default"], "Retain");
    }

    #[test]
    fn rules_say_the_cure() {
        let room = schemas().unwrap().room;
        let mut messages = Vec::new();
        walk(&room, &mut |fields| {
            if let Some(Value::Array(rules)) = fields.get("x-kubernetes-validations") {
                messages.extend(rules.iter().map(|rule| rule["message"].as_str().unwrap()));
            }
        });
        assert!(messages.len() >= 6, "{messages:?}");
        assert!(messages.contains(&"limits of a subscription never change: add one under a new name"));
    }
}
