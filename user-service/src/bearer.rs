//! The form in which both edges get a token: `Bearer <token>`.

/// The token in an authorization header; the scheme's case does not matter.
pub(crate) fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn a_bearer_header_has_a_scheme_and_a_token() {
        assert_eq!(token("Bearer abc"), Some("abc"));
        assert_eq!(token("bearer  abc "), Some("abc"));
        for wrong in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(token(wrong), None, "{wrong:?}");
        }
    }
}
