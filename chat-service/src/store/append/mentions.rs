//! Which usernames a text mentions: `@username`.

use contract::username;
use std::collections::BTreeSet;

/// Longest list that is kept: a message is not a telephone book.
const MOST: usize = 100;

/// The mentioned names, in order, each once. A name may hold `.`, `-` and `_`, so with those at its end both readings are given:
/// `@alice.` at the end of a sentence means alice.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut before = None;
    for (at, found) in text.char_indices() {
        if found == '@' && !before.is_some_and(|before| is_part(before) || before == '@') {
            let rest = &text[at + 1..];
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase();
            let trimmed = name.trim_end_matches(['.', '-', '_']);
            names.extend(
                [name.as_str(), trimmed].into_iter().filter(|name| username::is_valid(name)).map(str::to_owned),
            );
            if names.len() >= MOST {
                break;
            }
        }
        before = Some(found);
    }
    names.into_iter().collect()
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn names_behind_an_at_sign_are_mentions_and_addresses_are_not() {
        assert_eq!(of("hi @alice, @bob-2 and (@Carol)!"), ["alice", "bob-2", "carol"]);
        assert_eq!(of("write to alice@example.com or @@bob"), Vec::<String>::new());
        assert_eq!(of("@alice @alice"), ["alice"]);
        assert_eq!(of("@ @é @-x"), Vec::<String>::new());
        assert_eq!(of("ask @alice."), ["alice", "alice."]);
        assert_eq!(of(&format!("@{}", "a".repeat(33))), Vec::<String>::new());
    }
}
