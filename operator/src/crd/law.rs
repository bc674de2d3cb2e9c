//! Rules about more than one field, or about how much a text says: the CEL that stands in the CRD, the same as plain Rust, and the
//! sentence that says the cure. Rules about what a manifest was before are Kubernetes' alone: a folder has no before.

use serde_json::{Value, json};

use super::shape;
use crate::fault::{Fault, Path};

/// A rule that a value in a manifest has to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Law {
    /// As it stands in the CRD.
    cel: &'static str,
    /// The same, as code, of a value that has its defaults.
    holds: fn(&Value) -> bool,
    /// The field at fault, below the value that has the rule; `None`: that value.
    field: Option<&'static str>,
    /// What is wrong, and what to write instead.
    cure: &'static str,
}

/// Of every `scaling`.
pub(crate) const SCALING: Law = Law {
    cel: "self.min <= self.max",
    holds: |scaling| number(scaling, "min") <= number(scaling, "max"),
    field: Some("min"),
    cure: "is above max: raise max or lower min",
};
/// Of a gateway's `drain`.
pub(crate) const DRAIN: Law = Law {
    cel: "self.spreadSeconds <= self.seconds",
    holds: |drain| number(drain, "spreadSeconds") <= number(drain, "seconds"),
    field: Some("spreadSeconds"),
    cure: "is longer than seconds, so sockets would be cut before they are told: lower it, or raise seconds",
};
/// Of a class's `segmentBytes`. That a text is no quantity is for its shape to say.
pub(crate) const SEGMENT_BYTES: Law = Law {
    cel: "!isQuantity(self) || quantity(self).compareTo(quantity('64Ki')) >= 0 && quantity(self).compareTo(quantity('1Gi')) <= 0",
    holds: |size| (64 << 10..=1 << 30).contains(&bytes(size)),
    field: None,
    cure: "is out of range: write 64Ki to 1Gi",
};
/// Of a class's `maxBytes`.
pub(crate) const LOG_BYTES: Law = Law {
    cel: "!isQuantity(self) || quantity(self).compareTo(quantity('1Mi')) >= 0",
    holds: |size| bytes(size) >= 1 << 20,
    field: None,
    cure: "is too little: write at least 1Mi",
};
/// Of a class. The oldest segment goes once the others hold `maxBytes`, so that a few keep most of it.
pub(crate) const SEGMENTS: Law = Law {
    cel: "!isQuantity(self.maxBytes) || !isQuantity(self.segmentBytes) || quantity(self.maxBytes).sub(quantity(self.segmentBytes)).sub(quantity(self.segmentBytes)).sub(quantity(self.segmentBytes)).compareTo(quantity(self.segmentBytes)) >= 0",
    holds: |class| bytes(&class["maxBytes"]) / 4 >= bytes(&class["segmentBytes"]),
    field: Some("maxBytes"),
    cure: "is less than four segments: raise maxBytes or lower segmentBytes",
};
/// Of a room's `uploads.maxBytes`.
pub(crate) const UPLOAD_BYTES: Law = Law {
    cel: "!isQuantity(self) || quantity(self).compareTo(quantity('5Gi')) <= 0",
    holds: |size| bytes(size) <= 5 << 30,
    field: None,
    cure: "is too much: write at most 5Gi",
};
/// Of a room's `spec`.
pub(crate) const MEMBERS: Law = Law {
    // The API server tries every rule on the default of `spec`, in which no other default is filled in yet.
    cel: "!has(self.members) || self.members.size() <= self.limits.maxMembers",
    holds: |spec| spec["members"].as_array().map_or(0, Vec::len) as u64 <= number(&spec["limits"], "maxMembers"),
    field: Some("members"),
    cure: "names more people than spec.limits.maxMembers allows: raise that, or name fewer",
};

const LAWS: [Law; 7] = [SCALING, DRAIN, SEGMENT_BYTES, LOG_BYTES, SEGMENTS, UPLOAD_BYTES, MEMBERS];

impl Law {
    /// As an entry of `x-kubernetes-validations`.
    pub(crate) fn rule(&self) -> Value {
        let mut rule = json!({"rule": self.cel, "message": self.cure});
        if let Some(field) = self.field {
            rule["fieldPath"] = json!(format!(".{field}"));
        }
        rule
    }
}

/// An entry of `x-kubernetes-validations` about a change.
pub(crate) fn on_change(cel: &str, cure: &str) -> Value {
    json!({"rule": cel, "message": cure})
}

/// Faults of `value`, whose structure is right.
pub(super) fn check(schema: &Value, value: &Value, path: &Path) -> Vec<Fault> {
    let mut value = value.clone();
    fill(schema, &mut value);
    let mut faults = Vec::new();
    visit(schema, &value, path, &mut faults);
    faults
}

/// Fills in every default, as Kubernetes does before it looks at the rules.
fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = inner.get("default") {
                    fields.entry(name).or_insert_with(|| default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(inner, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(&schema["items"], item)),
        _ => {}
    }
}

fn visit(schema: &Value, value: &Value, path: &Path, faults: &mut Vec<Fault>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let law = LAWS.iter().find(|law| rule["rule"] == law.cel);
        if let Some(law) = law.filter(|law| !(law.holds)(value)) {
            let place = law.field.map_or_else(|| path.clone(), |field| path.field(field));
            faults.push(Fault::new(place, law.cure));
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                visit(&schema["properties"][name], inner, &path.field(name), faults);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(&schema["items"], item, &path.item(index), faults);
            }
        }
        _ => {}
    }
}

/// The structure is right and the defaults are there, so it is a number.
fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_default()
}

fn bytes(value: &Value) -> u64 {
    value.as_str().and_then(shape::bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{schemas, walk};

    #[test]
    fn every_rule_in_a_definition_is_a_law_in_plain_code_or_about_a_change() {
        let schemas = schemas().unwrap();
        let mut found = 0;
        for schema in [&schemas.room, &schemas.platform] {
            walk(&schema["properties"]["spec"], &mut |fields| {
                for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                    let cel = rule["rule"].as_str().unwrap();
                    assert!(cel.contains("oldSelf") || LAWS.iter().any(|law| law.rule() == *rule), "{rule}");
                    found += 1;
                }
            });
        }
        assert!(found >= 13, "{found}");
    }

    #[test]
    fn defaults_are_filled_in_before_rules_are_looked_at() {
        let platform = schemas().unwrap().platform;
        let spec = &platform["properties"]["spec"];
        let faults = |value: &Value| check(spec, value, &Path::of(&["spec"]));
        // The default of max is 10.
        let found = faults(&json!({"users": {"image": "x", "scaling": {"min": 11}}}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "spec.users.scaling.min");
        assert!(faults(&json!({"users": {"image": "x", "scaling": {"min": 10}}})).is_empty());
        assert!(faults(&json!({})).is_empty());
        let drain = |drain: Value| faults(&json!({"chat": {"image": "x", "gateway": {"drain": drain}}}));
        assert_eq!(drain(json!({"seconds": 19})).len(), 1);
        assert!(drain(json!({"seconds": 20})).is_empty());
    }
}
