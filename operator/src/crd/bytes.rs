//! A number of bytes in a manifest, as a text: `25Mi`. A bare number is no text: with both, Kubernetes could not bound what a rule
//! about the size costs, and would refuse the definition.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::shape;

/// A size as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bytes(String);

impl Bytes {
    /// The size that `text` says.
    #[must_use]
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As a number; 0 where it is no size, which the schema refuses.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        shape::bytes(&self.0).unwrap_or(0)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 16, "pattern": shape::BYTES})
    }
}
