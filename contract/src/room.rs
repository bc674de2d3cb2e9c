//! How a room is addressed: `<namespace>/<name>`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The address of a room, as `team-a/general`. Both parts are DNS labels; a namespace of rooms that people make begins with `~`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName {
    text: Box<str>,
    slash: usize,
}

/// Why a text is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a room is `<namespace>/<name>`, each 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit; got {0:?}"
)]
pub struct NotARoom(String);

impl RoomName {
    /// The room `name` in `namespace`.
    ///
    /// # Errors
    /// If one of the two is no DNS label.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NotARoom> {
        format!("{namespace}/{name}").parse()
    }

    /// `team-a` of `team-a/general`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.text[..self.slash]
    }

    /// `general` of `team-a/general`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// As written: `team-a/general`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether `label` is a DNS label (RFC 1123): what Kubernetes takes as the name of a namespace.
#[must_use]
pub fn is_dns_label(label: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = label.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

impl FromStr for RoomName {
    type Err = NotARoom;

    fn from_str(text: &str) -> Result<Self, NotARoom> {
        let wrong = || NotARoom(text.chars().take(140).collect());
        let (namespace, name) = text.split_once('/').ok_or_else(wrong)?;
        if is_dns_label(namespace.strip_prefix('~').unwrap_or(namespace)) && is_dns_label(name) {
            Ok(Self { slash: namespace.len(), text: text.into() })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for RoomName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_two_dns_labels() {
        let room: RoomName = "team-a/general".parse().unwrap();
        assert_eq!((room.namespace(), room.name()), ("team-a", "general"));
        assert_eq!("~people/x1".parse::<RoomName>().unwrap().namespace(), "~people");
        for wrong in [
            "",
            "general",
            "a/b/c",
            "A/b",
            "a/",
            "/b",
            "a/-b",
            "a/b-",
            "a./b",
            "a/~b",
            &format!("a/{}", "b".repeat(64)),
        ] {
            assert!(wrong.parse::<RoomName>().is_err(), "{wrong}");
        }
    }
}
