//! Whether a put of a room is taken: by owner, generation and hash. Pure; the row is locked while it is decided.

use crate::rooms::refusal::Refusal;
use crate::rooms::spec::Claim;

/// What the row says of the last put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Owner.
    pub(crate) owner_uid: String,
    /// Their generation.
    pub(crate) generation: i64,
    /// Hash of the spec.
    pub(crate) hash: String,
    /// Class of the logs.
    pub(crate) class: String,
    /// False: closed to sending.
    pub(crate) open: bool,
    /// True: the owner let go of it.
    pub(crate) released: bool,
}

/// What becomes of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The row says all of it.
    Unchanged,
    /// The same manifest is back: the room opens again, its members stay as they are.
    Reopen,
    /// Another manifest: everything is written, with this generation.
    Commit {
        /// For the row.
        generation: i64,
    },
    /// Not taken; nothing changes.
    Refuse(Refusal),
}

/// Decides. A put with generation 0 comes from a file, which has none: the row counts for it.
pub(crate) fn decide(held: &Held, claim: &Claim, class: &str) -> Decision {
    if claim.owner_uid != held.owner_uid {
        let seen_gone = claim.takes_over_from.as_deref() == Some(held.owner_uid.as_str());
        if !held.released && !seen_gone {
            return Decision::Refuse(Refusal::NameConflict { holder: held.owner_uid.clone() });
        }
        return commit(held, class, if claim.generation == 0 { held.generation + 1 } else { claim.generation });
    }
    let same = claim.hash == held.hash;
    if same && (claim.generation == 0 || claim.generation == held.generation) {
        return if held.open && !held.released { Decision::Unchanged } else { Decision::Reopen };
    }
    if claim.generation == 0 {
        return commit(held, class, held.generation + 1);
    }
    if claim.generation < held.generation {
        return Decision::Refuse(Refusal::StaleGeneration { asked: claim.generation, held: held.generation });
    }
    if claim.generation == held.generation {
        return Decision::Refuse(Refusal::HashDiffers { generation: held.generation });
    }
    commit(held, class, claim.generation)
}

fn commit(held: &Held, class: &str, generation: i64) -> Decision {
    if class == held.class {
        Decision::Commit { generation }
    } else {
        Decision::Refuse(Refusal::ClassImmutable { held: held.class.clone(), asked: class.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held() -> Held {
        Held {
            owner_uid: "a".into(),
            generation: 5,
            hash: "h5".into(),
            class: "standard".into(),
            open: true,
            released: false,
        }
    }

    fn claim(owner: &str, generation: i64, hash: &str) -> Claim {
        Claim { owner_uid: owner.into(), generation, hash: hash.into(), takes_over_from: None }
    }

    #[test]
    fn the_same_put_again_changes_nothing_and_opens_what_was_closed() {
        assert_eq!(decide(&held(), &claim("a", 5, "h5"), "standard"), Decision::Unchanged);
        assert_eq!(decide(&held(), &claim("a", 0, "h5"), "standard"), Decision::Unchanged);
        let closed = Held { open: false, released: true, ..held() };
        assert_eq!(decide(&closed, &claim("a", 5, "h5"), "standard"), Decision::Reopen);
        assert_eq!(decide(&closed, &claim("a", 0, "h5"), "standard"), Decision::Reopen);
    }

    #[test]
    fn an_operator_that_is_behind_is_refused() {
        let stale = Decision::Refuse(Refusal::StaleGeneration { asked: 4, held: 5 });
        assert_eq!(decide(&held(), &claim("a", 4, "h5"), "standard"), stale);
        assert_eq!(decide(&held(), &claim("a", 4, "h4"), "standard"), stale);
        let differs = Decision::Refuse(Refusal::HashDiffers { generation: 5 });
        assert_eq!(decide(&held(), &claim("a", 5, "other"), "standard"), differs);
    }

    #[test]
    fn a_file_counts_up_where_its_content_differs() {
        assert_eq!(decide(&held(), &claim("a", 0, "h6"), "standard"), Decision::Commit { generation: 6 });
        assert_eq!(decide(&held(), &claim("a", 6, "h5"), "standard"), Decision::Commit { generation: 6 });
    }

    #[test]
    fn another_owner_waits_for_release_or_for_the_first_to_be_seen_gone() {
        let conflict = Decision::Refuse(Refusal::NameConflict { holder: "a".into() });
        assert_eq!(decide(&held(), &claim("b", 9, "h"), "standard"), conflict);
        let wrong = Claim { takes_over_from: Some("c".into()), ..claim("b", 9, "h") };
        assert_eq!(decide(&held(), &wrong, "standard"), conflict);
        let moved = Claim { takes_over_from: Some("a".into()), ..claim("b", 0, "h") };
        assert_eq!(decide(&held(), &moved, "standard"), Decision::Commit { generation: 6 });
        let released = Held { open: false, released: true, ..held() };
        assert_eq!(decide(&released, &claim("b", 1, "h"), "standard"), Decision::Commit { generation: 1 });
    }

    #[test]
    fn the_class_of_a_room_does_not_change() {
        let refused = Decision::Refuse(Refusal::ClassImmutable { held: "standard".into(), asked: "big".into() });
        assert_eq!(decide(&held(), &claim("a", 6, "h6"), "big"), refused);
    }

    prop_compose! {
        fn claims()(owner in "[ab]", generation in 0_i64..4, hash in "[xyz]", over in proptest::option::of("[ab]")) -> Claim {
            Claim { owner_uid: owner, generation, hash, takes_over_from: over }
        }
    }

    proptest! {
        /// Whatever is put in whatever order: a put that was taken is unchanged when put again, and one owner's generations never fall.
        #[test]
        fn puts_are_idempotent_and_generations_of_one_owner_never_fall(puts in proptest::collection::vec((claims(), any::<bool>()), 1..20)) {
            let mut row = Held { owner_uid: "a".into(), generation: 1, hash: "x".into(), class: "c".into(), open: true, released: false };
            for (claim, close) in puts {
                let before = row.clone();
                match decide(&row, &claim, "c") {
                    Decision::Unchanged => prop_assert!(row.open && !row.released && row.hash == claim.hash && row.owner_uid == claim.owner_uid),
                    Decision::Reopen => { row.open = true; row.released = false; }
                    Decision::Commit { generation } => {
                        row = Held { owner_uid: claim.owner_uid.clone(), generation, hash: claim.hash.clone(), class: "c".into(), open: true, released: false };
                        prop_assert!(row.owner_uid != before.owner_uid || generation > before.generation);
                        prop_assert!(row.owner_uid == before.owner_uid || before.released || claim.takes_over_from.as_ref() == Some(&before.owner_uid));
                    }
                    Decision::Refuse(_) => { prop_assert_eq!(&row, &before); }
                }
                if row.owner_uid == claim.owner_uid && row.hash == claim.hash && (claim.generation == 0 || claim.generation == row.generation) {
                    prop_assert_eq!(decide(&row, &claim, "c"), Decision::Unchanged);
                }
                if close { row.open = false; row.released = true; }
            }
        }
    }
}
