//! Text forms of the manifests: the pattern that stands in the CRD, the same as plain Rust, and the sentence that says the cure.
//! The patterns are for Go's RE2 and mean the same as `holds`; a test makes strings from each pattern and asks `holds`.
//!
//! In a schema a shape is a `pattern`. In the definitions for Kubernetes it is a rule, since all that the API server says of a pattern is
//! the pattern.

use contract::username;
use serde_json::{Value, json};

/// A form that a text in a manifest has to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Its regular expression, of the whole text.
    pub(crate) pattern: &'static str,
    /// The same, as code.
    pub(crate) holds: fn(&str) -> bool,
    /// What to write instead.
    pub(crate) cure: &'static str,
}

/// Pattern of a DNS label; its length is a bound of its own.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Pattern of a username.
pub(crate) const USERNAME: &str = "^[a-z0-9][a-z0-9._-]{0,31}$";
/// Pattern of a span of time.
pub(crate) const AGE: &str = "^[1-9][0-9]*[hdw]$";
/// Pattern of a number of bytes.
pub(crate) const BYTES: &str = "^([1-9][0-9]{0,14}|[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti))$";
/// Pattern of a media type or a family of them.
pub(crate) const MEDIA_TYPE: &str = r"^[a-z0-9][a-z0-9!#$&^_.+-]*/(\*|[a-z0-9][a-z0-9!#$&^_.+-]*)$";
/// Pattern of one line of text.
pub(crate) const LINE: &str = r"^[^\p{Cc}]*$";
/// Pattern of some lines of text.
pub(crate) const TEXT: &str = r"^([^\p{Cc}]|[\n\t])*$";
/// Pattern of an AMQP server's address.
pub(crate) const AMQP_URL: &str = "^amqps?://[^/@]+$";
/// Pattern of the management API's address.
pub(crate) const HTTP_URL: &str = "^https?://[^@]+$";

/// Every form; each pattern in the CRDs is one of these.
const SHAPES: [Shape; 9] = [
    Shape {
        pattern: LABEL,
        holds: is_label,
        cure: "write a-z, 0-9 and `-`, beginning and ending with a letter or digit",
    },
    Shape {
        pattern: USERNAME,
        holds: username::is_valid,
        cure: "write a username: a-z, 0-9, `.`, `_` and `-`, at most 32, beginning with a letter or digit",
    },
    Shape {
        pattern: AGE,
        holds: |text| seconds(text).is_some(),
        cure: "write a whole number above 0 with h, d or w, as 36h, 7d or 52w",
    },
    Shape {
        pattern: BYTES,
        holds: |text| bytes(text).is_some(),
        cure: "write a whole number of bytes above 0, or one with Ki, Mi, Gi or Ti, as 25Mi",
    },
    Shape { pattern: MEDIA_TYPE, holds: is_media_type, cure: "write a media type, as application/pdf or image/*" },
    Shape {
        pattern: LINE,
        holds: |text| !text.chars().any(char::is_control),
        cure: "take out line breaks and other control characters",
    },
    Shape {
        pattern: TEXT,
        holds: |text| !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')),
        cure: "take out control characters other than line breaks and tabs",
    },
    Shape {
        pattern: AMQP_URL,
        holds: |text| rest(text, ["amqp://", "amqps://"]).is_some_and(|rest| !rest.contains(['/', '@'])),
        cure: "write amqp:// or amqps:// and host:port; name and password stand in a Secret, the virtual host in vhost",
    },
    Shape {
        pattern: HTTP_URL,
        holds: |text| rest(text, ["http://", "https://"]).is_some_and(|rest| !rest.contains('@')),
        cure: "write http:// or https:// and host:port; name and password stand in a Secret",
    },
];

/// The shape with this pattern.
#[must_use]
pub(crate) fn of(pattern: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.pattern == pattern)
}

/// Every pattern of a schema, and of all schemas in it, as a rule that says the cure.
pub(crate) fn say_cures(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(shape) = fields.get("pattern").and_then(Value::as_str).and_then(of) {
                fields.remove("pattern");
                // Raw, since backslashes are the pattern's.
                let rule = json!({"rule": format!("self.matches(r'{}')", shape.pattern), "message": shape.cure});
                let rules = fields.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
                rules.as_array_mut().into_iter().for_each(|rules| rules.insert(0, rule.clone()));
            }
            fields.values_mut().for_each(say_cures);
        }
        Value::Array(items) => items.iter_mut().for_each(say_cures),
        _ => {}
    }
}

/// What follows one of the beginnings, unless it is nothing.
fn rest<'a>(text: &'a str, beginnings: [&str; 2]) -> Option<&'a str> {
    beginnings.iter().find_map(|beginning| text.strip_prefix(beginning)).filter(|rest| !rest.is_empty())
}

/// A DNS label of any length: the length has a message of its own.
fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// The seconds of `36h`, `7d` or `52w`; `None` for another text.
#[must_use]
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let unit = match text.as_bytes().last()? {
        b'h' => 3600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => return None,
    };
    whole(&text[..text.len() - 1])?.checked_mul(unit)
}

/// The bytes of `1048576`, `25Mi`, …; `None` for another text.
#[must_use]
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    for (unit, shift) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return (number.len() <= 6).then(|| whole(number)).flatten().map(|number| number << shift);
        }
    }
    (text.len() <= 15).then(|| whole(text)).flatten()
}

/// A number above 0 in digits, without a leading zero.
fn whole(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

fn is_media_type(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let name = |part: &str| {
        part.bytes().next().is_some_and(letter) && part.bytes().all(|byte| letter(byte) || b"!#$&^_.+-".contains(&byte))
    };
    text.split_once('/').is_some_and(|(family, kind)| name(family) && (kind == "*" || name(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A text that the pattern takes. The dialect of proptest has no anchors.
    fn matching(shape: Shape) -> impl Strategy<Value = String> {
        proptest::string::string_regex(shape.pattern.trim_start_matches('^').trim_end_matches('$')).unwrap()
    }

    proptest! {
        #[test]
        fn what_a_pattern_takes_the_code_takes(texts in SHAPES.map(matching)) {
            for (shape, text) in SHAPES.iter().zip(texts) {
                // A number that no machine holds is refused by code alone; the CRD bounds its length.
                if shape.pattern != AGE || text.len() <= 6 {
                    prop_assert!((shape.holds)(&text), "{} {text:?}", shape.pattern);
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let wrong: [(&str, &[&str]); 9] = [
            (LABEL, &["", "-a", "a-", "A", "a.b", "ä", "a\n"]),
            (USERNAME, &["", ".a", "Alice", "a b", &"a".repeat(33)]),
            (AGE, &["", "0d", "d", "7", "7m", "07d", "-7d", "1.5d", "7d\n"]),
            (BYTES, &["", "0", "0Ki", "1K", "1mi", "-1", "1.5Mi", "1000000Ki", "1000000000000000", "01"]),
            (MEDIA_TYPE, &["", "image", "image/", "/png", "Image/png", "image/*/x", "*/*", "a/b/c"]),
            (LINE, &["a\nb", "\t", "\u{85}", "\u{7f}"]),
            (TEXT, &["\r", "\u{0}", "\u{9f}"]),
            (AMQP_URL, &["", "rabbit:5672", "amqp://", "http://rabbit", "amqp://a:b@rabbit", "amqp://rabbit/vhost"]),
            (HTTP_URL, &["", "rabbit:15672", "https://", "amqp://rabbit", "http://a:b@rabbit"]),
        ];
        for (pattern, texts) in wrong {
            for text in texts {
                assert!(!(of(pattern).unwrap().holds)(text), "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn spans_and_sizes_are_read_as_numbers() {
        assert_eq!((seconds("36h"), seconds("52w")), (Some(129_600), Some(31_449_600)));
        assert_eq!((bytes("25Mi"), bytes("999999Ti")), (Some(26_214_400), Some(999_999 << 40)));
    }
}
