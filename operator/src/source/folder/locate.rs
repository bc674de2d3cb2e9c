//! The line of a field in a YAML text. The reader of YAML tells a place only for its own errors, so this walks to the field and
//! raises one there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::fault::{Path, Step};

/// The line, counted from 1, of `path` in document `index` of `text`; of the nearest node above it where it is absent.
pub(in crate::source) fn line(text: &str, index: usize, path: &Path) -> Option<usize> {
    let document = serde_yaml_ng::Deserializer::from_str(text).nth(index)?;
    let error = Walk { path: &path.0 }.deserialize(document).err()?;
    error.location().map(|location| location.line())
}

/// Always ends in an error, at the place that is sought.
struct Walk<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another kind of value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Field(name), rest)) = self.path.split_first() else { return Err(A::Error::custom("here")) };
        while let Some(found) = map.next_key_seed(Key { name, last: rest.is_empty() })? {
            if found {
                return map.next_value_seed(Walk { path: rest });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(A::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(index), rest)) = self.path.split_first() else { return Err(A::Error::custom("here")) };
        for _ in 0..*index {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Err(A::Error::custom("here"));
            }
        }
        items.next_element_seed(Walk { path: rest })?;
        Err(A::Error::custom("here"))
    }
}

/// Whether a key is the one that is sought; the last one of a path is where its line is.
struct Key<'a> {
    name: &'a str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let found = key == self.name;
        if found && self.last { Err(E::custom("here")) } else { Ok(found) }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
kind: ChatRoom
metadata: {name: x}
spec:
  limits:
    burst: 0
  members:
    - {user: alice}
    - user: bob
      role: Boss
---
kind: ChatRoom
spec: {topic: x,
  suspend: yes}
";

    fn at(index: usize, path: &Path) -> usize {
        line(TEXT, index, path).unwrap()
    }

    #[test]
    fn a_field_is_where_its_name_stands() {
        assert_eq!(at(0, &Path::of(&["metadata", "name"])), 3);
        assert_eq!(at(0, &Path::of(&["spec", "limits"])), 5);
        assert_eq!(at(0, &Path::of(&["spec", "limits", "burst"])), 6);
        assert_eq!(at(0, &Path::of(&["spec", "members"]).item(1).field("role")), 10);
        assert_eq!(at(0, &Path::of(&["spec", "members"]).item(0)), 8);
    }

    #[test]
    fn lines_of_a_later_document_count_from_the_top_of_the_file() {
        assert_eq!(at(1, &Path::of(&["kind"])), 12);
        assert_eq!(at(1, &Path::of(&["spec", "suspend"])), 14);
    }

    #[test]
    fn an_absent_field_is_where_it_would_stand() {
        assert_eq!(at(0, &Path::of(&["spec", "topic"])), 5);
        assert_eq!(at(0, &Path::of(&["spec", "members"]).item(0).field("role")), 8);
        assert_eq!(line(TEXT, 7, &Path::default()), None);
    }
}
