//! Checks a document against its kind's schema, the one that Kubernetes enforces, and says for each fault what to write instead.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::shape;
use crate::fault::{Fault, Path};

/// All faults of `value`.
pub(super) fn check(schema: &Value, value: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    visit(schema, value, path, &mut faults);
    faults
}

/// An explicit null is an absent field, as in Kubernetes.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn visit(schema: &Value, value: &Value, path: &Path, faults: &mut Vec<Fault>) {
    // Only Kubernetes' own types are of two kinds, and they mean nothing in a folder.
    if schema["x-kubernetes-int-or-string"] == true {
        return;
    }
    match (schema["type"].as_str().unwrap_or_default(), value) {
        ("object", Value::Object(fields)) => object(schema, fields, path, faults),
        ("array", Value::Array(items)) => array(schema, items, path, faults),
        ("string", Value::String(text)) => string(schema, text, path, faults),
        ("integer", Value::Number(number)) if !number.is_f64() => range(schema, value, path, faults),
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) | ("", _) => {}
        (wanted, found) => faults.push(Fault::new(path.clone(), wrong_type(wanted, found))),
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &Path, faults: &mut Vec<Fault>) {
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    let free = &schema["additionalProperties"];
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true || (known.is_empty() && free.is_null());
    for (name, value) in fields {
        match known.get(name) {
            Some(inner) => visit(inner, value, &path.field(name), faults),
            None if free.is_object() => visit(free, value, &path.field(name), faults),
            None if open => {}
            None => faults.push(Fault::new(path.field(name), unknown_field(name, known))),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            faults.push(Fault::new(path.field(name), "is missing: it has no default"));
        }
    }
}

fn unknown_field(name: &str, known: &Map<String, Value>) -> String {
    let close = known.keys().map(|other| (distance(name, other), other)).min();
    match close {
        Some((distance, other)) if distance <= 1 + name.chars().count() / 4 => {
            format!("there is no such field: did you mean `{other}`?")
        }
        _ => {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            format!("there is no such field: write one of {}", names.join(", "))
        }
    }
}

/// Letters to change, add or take away, whatever their case.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

fn array(schema: &Value, items: &[Value], path: &Path, faults: &mut Vec<Fault>) {
    let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(most) = bound("maxItems").filter(|most| items.len() > *most) {
        faults.push(Fault::new(path.clone(), format!("has {} entries: write at most {most}", items.len())));
    }
    if let Some(least) = bound("minItems").filter(|least| items.len() < *least) {
        faults.push(Fault::new(path.clone(), format!("has {} entries: write at least {least}", items.len())));
    }
    for (index, item) in items.iter().enumerate() {
        visit(&schema["items"], item, &path.item(index), faults);
    }
    let key = schema["x-kubernetes-list-map-keys"][0].as_str();
    if key.is_some() || schema["x-kubernetes-list-type"] == "set" {
        duplicates(key, items, path, faults);
    }
}

fn duplicates(key: Option<&str>, items: &[Value], path: &Path, faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let Some(word) = key.map_or(item.as_str(), |key| item[key].as_str()) else { continue };
        if !seen.insert(word) {
            let place = key.map_or(path.item(index), |key| path.item(index).field(key));
            faults.push(Fault::new(place, format!("`{}` stands here twice: remove one", shortened(word))));
        }
    }
}

fn string(schema: &Value, text: &str, path: &Path, faults: &mut Vec<Fault>) {
    let mut complain = |message: String| faults.push(Fault::new(path.clone(), message));
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        if !words.contains(&text) {
            complain(format!("`{}` is no choice: write one of {}", shortened(text), words.join(", ")));
        }
        return;
    }
    let length = text.chars().count() as u64;
    if schema["minLength"].as_u64().is_some_and(|least| length < least) {
        return complain("is empty: write something, or leave the field out".to_owned());
    }
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        return complain(format!("has {length} characters: write at most {most}"));
    }
    let shape = schema["pattern"].as_str().and_then(shape::of);
    if let Some(shape) = shape.filter(|shape| !(shape.holds)(text)) {
        complain(format!("`{}` does not fit: {}", shortened(text), shape.cure));
    }
}

fn range(schema: &Value, value: &Value, path: &Path, faults: &mut Vec<Fault>) {
    let bound = |name: &str| schema[name].as_f64();
    let (least, most) = (bound("minimum"), bound("maximum"));
    let number = value.as_f64().unwrap_or(f64::NAN);
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let text = |bound: Option<f64>, open: &str| bound.map_or(open.to_owned(), |bound| format!("{bound}"));
        let message = format!("{value} is out of range: write {} to {}", text(least, "any"), text(most, "any"));
        faults.push(Fault::new(path.clone(), message));
    }
}

fn wrong_type(wanted: &str, found: &Value) -> String {
    let wanted = match wanted {
        "object" => "fields, as `name: value`",
        "array" => "a list, as `[a, b]`",
        "string" => "a text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        other => other,
    };
    let (found, cure) = match found {
        Value::Null => ("nothing".to_owned(), ""),
        Value::Bool(truth) => (truth.to_string(), if wanted == "a text" { ": put it in quotes" } else { "" }),
        Value::Number(number) => (number.to_string(), if wanted == "a text" { ": put it in quotes" } else { "" }),
        Value::String(text) => (format!("the text `{}`", shortened(text)), ""),
        Value::Array(_) => ("a list".to_owned(), ""),
        Value::Object(_) => ("fields".to_owned(), ""),
    };
    format!("write {wanted}, not {found}{cure}")
}

/// What people wrote, short enough for a line.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_a_strange_one_gets_the_list() {
        let known = serde_json::json!({"limits": {}, "topic": {}});
        let known = known.as_object().unwrap();
        assert_eq!(unknown_field("Limts", known), "there is no such field: did you mean `limits`?");
        assert_eq!(unknown_field("colour", known), "there is no such field: write one of limits, topic");
    }

    #[test]
    fn nulls_are_absent_fields_at_any_depth() {
        let value = serde_json::json!({"a": null, "b": {"c": null, "d": 1}, "e": [{"f": null}]});
        assert_eq!(without_nulls(value), serde_json::json!({"b": {"d": 1}, "e": [{}]}));
    }
}
