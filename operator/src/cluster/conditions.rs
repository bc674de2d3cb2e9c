//! Conditions as kstatus reads them, pure.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Conditions of one object.
pub(super) struct Conditions<'a> {
    generation: i64,
    before: &'a Value,
    now: Timestamp,
    all: Vec<Value>,
}

impl<'a> Conditions<'a> {
    /// None yet, of an object at `generation` whose status was `before`.
    pub(super) fn new(generation: i64, before: &'a Value, now: Timestamp) -> Self {
        Self { generation, before, now, all: Vec::new() }
    }

    /// One more. Where it was so before, it keeps its time.
    pub(super) fn add(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let old = self.before["conditions"].as_array().into_iter().flatten().find(|old| old["type"] == kind);
        let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
        self.all.push(json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": self.generation,
            "lastTransitionTime": since.unwrap_or_else(|| json!(format!("{:.0}", self.now))),
        }));
    }

    /// A list for the status.
    pub(super) fn list(self) -> Value {
        Value::Array(self.all)
    }
}
