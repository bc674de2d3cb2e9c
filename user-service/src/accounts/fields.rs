//! What people may write into each field. Pure.

use crate::secret::Secret;

/// Longest name that is shown, in characters.
const DISPLAY_NAME_CHARACTERS: usize = 64;
/// Longest name of a device, in characters.
const DEVICE_CHARACTERS: usize = 64;
/// Longest address that mail can be sent to, in bytes (RFC 5321).
const EMAIL_BYTES: usize = 254;

/// A field that breaks its rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub(crate) struct Invalid {
    /// Its name, as in the request.
    pub(crate) field: &'static str,
    /// The rule, as the rest of a sentence.
    pub(crate) rule: &'static str,
}

/// The rule for usernames, which manifests share.
pub(crate) fn username(name: &str) -> Result<(), Invalid> {
    let rule = "must be 1 to 32 characters of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit";
    ok_if(contract::username::is_valid(name), "username", rule)
}

/// 8 to 256 characters, any.
pub(crate) fn password(field: &'static str, password: &Secret) -> Result<(), Invalid> {
    // Counting stops where the answer is known.
    let characters = password.expose().chars().take(257).count();
    ok_if((8..=256).contains(&characters), field, "must be 8 to 256 characters long")
}

/// A line of text that shows.
pub(crate) fn display_name(name: &str) -> Result<(), Invalid> {
    ok_if(
        is_line(name, DISPLAY_NAME_CHARACTERS),
        "display_name",
        "must be 1 to 64 characters without control characters",
    )
}

/// A line of text that shows.
pub(crate) fn device(name: &str) -> Result<(), Invalid> {
    ok_if(is_line(name, DEVICE_CHARACTERS), "device", "must be 1 to 64 characters without control characters")
}

/// The shape of an address; only a mail that arrives proves more.
pub(crate) fn email(address: &str) -> Result<(), Invalid> {
    let shaped = address.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !local.contains('@') && domain.split('.').all(|label| !label.is_empty())
    });
    let plain = address.len() <= EMAIL_BYTES && !address.chars().any(|letter| letter.is_whitespace() || hidden(letter));
    ok_if(shaped && plain, "email", "must look like name@example.com")
}

fn is_line(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(hidden)
}

/// Control characters, line separators, and what turns the direction of the text around it.
fn hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn ok_if(good: bool, field: &'static str, rule: &'static str) -> Result<(), Invalid> {
    if good { Ok(()) } else { Err(Invalid { field, rule }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_8_to_256_characters_whatever_their_bytes() {
        let check = |text: &str| password("password", &Secret::new(text.to_owned()));
        assert!(check("1234567").is_err() && check("12345678").is_ok());
        assert!(check(&"é".repeat(256)).is_ok() && check(&"é".repeat(257)).is_err());
        assert!(check("ééééééé").is_err(), "7 characters, 14 bytes");
    }

    #[test]
    fn shown_names_have_no_control_characters_and_are_not_blank() {
        assert!(display_name("Ada Lovelace 🦀").is_ok() && display_name(&"x".repeat(64)).is_ok());
        for wrong in ["", "  ", "a\nb", "a\0", "\u{202e}ada", &"x".repeat(65)] {
            assert!(display_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_of_mail_has_two_sides() {
        assert!(email("ada@example.com").is_ok() && email("a.b+c@localhost").is_ok());
        for wrong in [
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@c.d",
            "a@b..c",
            "a@b\n.c",
            &format!("{}@b.c", "a".repeat(254)),
        ] {
            assert!(email(wrong).is_err(), "{wrong:?}");
        }
    }
}
