//! The rule for usernames, shared by manifests (`members`) and registration.

/// Longest username, in bytes.
pub const MAX_BYTES: usize = 32;

/// Whether `name` is a username: `[a-z0-9][a-z0-9._-]{0,31}`.
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(plain)
        && bytes.len() <= MAX_BYTES
        && bytes.iter().all(|&byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn usernames_are_short_lower_case_and_begin_with_a_letter_or_digit() {
        assert!(is_valid("alice") && is_valid("0-a._b") && is_valid(&"a".repeat(32)));
        for wrong in ["", "Alice", ".a", "-a", "a b", "é", &"a".repeat(33)] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
