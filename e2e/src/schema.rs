//! Checks JSON against the schemas in `docs/reference`: the words of JSON Schema that those use, and an error for any other, so
//! that no rule is passed by in silence.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Words that say something to people only.
const REMARKS: [&str; 5] = ["$schema", "$id", "title", "description", "$defs"];

/// The schemas of the two formats.
pub struct Schemas {
    event: Value,
    envelope: Value,
}

impl Schemas {
    /// As they stand in this checkout.
    pub fn load() -> Result<Self> {
        Ok(Self { event: read("event.schema.json")?, envelope: read("envelope.schema.json")? })
    }

    /// Whether this is an EVENT of the protocol.
    pub fn check_event(&self, value: &Value) -> Result<()> {
        self.check(&self.event, &self.event, value).with_context(|| format!("no event: {value}"))
    }

    /// Whether this is the body of a log's message.
    pub fn check_envelope(&self, value: &Value) -> Result<()> {
        self.check(&self.envelope, &self.envelope, value).with_context(|| format!("no envelope: {value}"))
    }

    /// Whether this is as a part of another document says, as `/components/schemas/Room`.
    pub fn check_part(&self, document: &Value, part: &str, value: &Value) -> Result<()> {
        let schema = document.pointer(part).with_context(|| format!("{part} leads nowhere"))?;
        self.check(document, schema, value).with_context(|| format!("{part} is not {value}"))
    }

    fn check(&self, root: &Value, schema: &Value, value: &Value) -> Result<()> {
        let words = schema.as_object().context("a schema is an object")?;
        for (word, rule) in words {
            self.word(root, words, word, rule, value).with_context(|| format!("{word} {rule}"))?;
        }
        Ok(())
    }

    fn word(&self, root: &Value, words: &Map<String, Value>, word: &str, rule: &Value, value: &Value) -> Result<()> {
        let list = || rule.as_array().context("the rule is a list");
        let holds = match word {
            "$ref" => {
                let (root, schema) = self.reference(root, rule.as_str().context("a reference is a text")?)?;
                return self.check(root, schema, value);
            }
            "allOf" => return list()?.iter().try_for_each(|schema| self.check(root, schema, value)),
            "oneOf" => list()?.iter().filter(|schema| self.check(root, schema, value).is_ok()).count() == 1,
            "if" => match words.get("then") {
                Some(then) if self.check(root, rule, value).is_ok() => return self.check(root, then, value),
                _ => true,
            },
            "then" => true,
            "type" => is_of_type(value, rule.as_str().context("a type is a text")?),
            "const" => value == rule,
            "enum" => list()?.contains(value),
            "required" => list()?.iter().filter_map(Value::as_str).all(|name| value.get(name).is_some()),
            "properties" => return self.properties(root, rule, value),
            "items" => {
                return value.as_array().into_iter().flatten().try_for_each(|item| self.check(root, rule, item));
            }
            "minItems" => value.as_array().is_none_or(|all| all.len() as u64 >= rule.as_u64().unwrap_or(u64::MAX)),
            "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= rule.as_u64().unwrap_or(0)),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap_or(i64::MAX)),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap_or(i64::MIN)),
            "minLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap_or(u64::MAX))
            }
            "pattern" => fits(value, rule.as_str().context("a pattern is a text")?)?,
            "format" => has_format(value, rule.as_str().context("a format is a text")?)?,
            _ if REMARKS.contains(&word) => true,
            _ => bail!("this word is not known here"),
        };
        if holds { Ok(()) } else { bail!("{value} does not fit") }
    }

    fn properties(&self, root: &Value, rule: &Value, value: &Value) -> Result<()> {
        for (name, schema) in rule.as_object().context("properties are an object")? {
            if let Some(found) = value.get(name) {
                self.check(root, schema, found).with_context(|| name.clone())?;
            }
        }
        Ok(())
    }

    /// `#/$defs/x` and `event.json#/$defs/x`.
    fn reference<'a>(&'a self, root: &'a Value, reference: &str) -> Result<(&'a Value, &'a Value)> {
        let (file, pointer) = reference.split_once('#').context("a reference has a #")?;
        let root = if file.is_empty() { root } else { &self.event };
        Ok((root, root.pointer(pointer).with_context(|| format!("{reference} leads nowhere"))?))
    }
}

fn read(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// The patterns of the schemas by the code that they describe, so that both say the same.
fn fits(value: &Value, pattern: &str) -> Result<bool> {
    let Some(text) = value.as_str() else { return Ok(true) };
    Ok(match pattern {
        "^[1-9][0-9]*-[a-z0-9]{6}$" => text.parse::<contract::position::Epoch>().is_ok(),
        "^[a-z0-9][a-z0-9._-]{0,31}$" => contract::username::is_valid(text),
        "\\.[0-9]{3}Z$" => text.len() == "2026-11-24T10:00:00.000Z".len() && text.ends_with('Z'),
        room if room.starts_with("^~?[a-z0-9]") => text.parse::<contract::room::RoomName>().is_ok(),
        _ => bail!("this pattern is not known here"),
    })
}

fn has_format(value: &Value, format: &str) -> Result<bool> {
    let Some(text) = value.as_str() else { return Ok(true) };
    Ok(match format {
        "uuid" => uuid::Uuid::parse_str(text).is_ok_and(|id| id.to_string() == text),
        "date-time" => OffsetDateTime::parse(text, &Rfc3339).is_ok(),
        _ => bail!("this format is not known here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::event::{Body, Envelope, Event, MemberChange, Message, MessageRef, Role, User, Visibility};
    use contract::position::LogPosition;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn everything_that_the_contract_can_write_is_an_envelope_of_the_schema() {
        let schemas = Schemas::load().unwrap();
        let user = User { id: Uuid::now_v7(), username: "anna".into(), display_name: "Anna".into() };
        let message = MessageRef { id: Uuid::now_v7(), author: user.id, epoch: "1-abcdef".parse().unwrap(), pos: 1024 };
        let said = Message {
            id: message.id,
            text: "x".into(),
            reply_to: Some(message.id),
            reply_to_author: None,
            attachments: vec![user.id],
        };
        let bodies = [
            Body::Message { message: said },
            Body::Edited { message: message.clone(), text: "y".into() },
            Body::Deleted { message: message.clone() },
            Body::Reaction { message, emoji: "👍".into(), removed: false },
            Body::Member { user: user.clone(), change: MemberChange::Role, role: Role::ReadOnly },
            Body::Room { display_name: "d".into(), topic: String::new(), visibility: Visibility::Public, open: true },
            Body::Attachment { attachment: json!({"id": "x"}) },
            Body::Closed { next_epoch: "2-abcdef".parse().unwrap() },
        ];
        for body in bodies {
            let sender = (!matches!(body, Body::Room { .. } | Body::Closed { .. })).then(|| user.clone());
            let event = Event {
                key: Uuid::now_v7(),
                hash: "h".into(),
                after: LogPosition::START,
                sender,
                time: "2026-11-24T10:00:00.000Z".into(),
                body,
            };
            let text = Envelope::join(&[event.encode().unwrap()]);
            schemas.check_envelope(&serde_json::from_slice(&text).unwrap()).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let schemas = Schemas::load().unwrap();
        let sender = json!({"id": Uuid::now_v7(), "username": "anna", "display_name": "Anna"});
        let good = json!({"room": "team-a/general", "epoch": "1-abcdef", "pos": 1024, "type": "message", "time": "2026-11-24T10:00:00.000Z",
            "sender": sender, "message": {"id": Uuid::now_v7(), "text": "x", "attachments": []}});
        schemas.check_event(&good).unwrap();
        for (field, value) in [
            ("epoch", json!("1")),
            ("pos", json!(-1)),
            ("pos", json!("1")),
            ("time", json!("2026-11-24T10:00:00Z")),
            ("sender", json!(null)),
            ("sender", json!({"id": "1"})),
            ("message", json!({"text": "x"})),
            ("room", json!("general")),
            ("type", json!("something")),
        ] {
            let mut wrong = good.clone();
            wrong[field] = value.clone();
            assert!(schemas.check_event(&wrong).is_err(), "{field} {value}");
        }
        assert!(schemas.check_envelope(&json!({"v": 1, "events": []})).is_err());
        assert!(schemas.check_envelope(&json!({"v": 2, "events": [{}]})).is_err());
    }
}
