//! What observations of a stream prove. Pure.

/// One look at a stream through one node, in search of an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    /// A message stood at the anchor's offset: whether it is another one. `None`: nothing came.
    pub(super) differs: Option<bool>,
    /// What an attach at `first` showed.
    pub(super) first: First,
    /// The last offset that an attach at `last` showed.
    pub(super) last: Option<u64>,
}

/// What an attach at `first` showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The stream begins at or before the anchor.
    AtOrBefore,
    /// It begins behind it, here.
    Behind(u64),
    /// Nothing came; so many messages are in it, it is said.
    Silent { messages: u32 },
}

/// Why a stream is not the log that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Another message stands where the anchor was.
    Differs,
    /// It ends before the anchor.
    EndsBefore,
    /// It is empty.
    Empty,
}

/// What all looks together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// This.
    Changed(Evidence),
    /// Not enough.
    Nothing,
}

impl Observed {
    fn evidence(&self, anchor: u64) -> Option<Evidence> {
        match (self.differs, self.first, self.last) {
            (Some(true), ..) => Some(Evidence::Differs),
            (None, First::AtOrBefore, Some(last)) if last < anchor => Some(Evidence::EndsBefore),
            (None, First::Silent { messages: 0 }, _) => Some(Evidence::Empty),
            _ => None,
        }
    }
}

/// All looks, at least two, must show the same.
pub(super) fn judge(anchor: u64, observed: &[Observed]) -> Found {
    let mut all = observed.iter().map(|observed| observed.evidence(anchor));
    match all.next() {
        Some(Some(first)) if observed.len() >= 2 && all.all(|evidence| evidence == Some(first)) => {
            Found::Changed(first)
        }
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: Observed = Observed { differs: None, first: First::AtOrBefore, last: None };

    #[test]
    fn slowness_and_a_single_look_are_no_evidence() {
        assert_eq!(judge(10, &[SILENT, SILENT]), Found::Nothing);
        let differs = Observed { differs: Some(true), ..SILENT };
        assert_eq!(judge(10, &[]), Found::Nothing);
        assert_eq!(judge(10, &[differs]), Found::Nothing);
        assert_eq!(judge(10, &[differs, SILENT]), Found::Nothing);
        let ends_later = Observed { last: Some(10), ..SILENT };
        assert_eq!(judge(10, &[ends_later, ends_later]), Found::Nothing);
        let not_empty = Observed { first: First::Silent { messages: 3 }, ..SILENT };
        assert_eq!(judge(10, &[not_empty, not_empty]), Found::Nothing);
        let empty_once = Observed { first: First::Silent { messages: 0 }, ..SILENT };
        assert_eq!(judge(10, &[empty_once, not_empty]), Found::Nothing);
    }

    #[test]
    fn what_every_look_shows_is_believed() {
        let differs = Observed { differs: Some(true), ..SILENT };
        assert_eq!(judge(10, &[differs, differs]), Found::Changed(Evidence::Differs));
        let ends = Observed { last: Some(9), ..SILENT };
        assert_eq!(judge(10, &[ends, ends, ends]), Found::Changed(Evidence::EndsBefore));
        let empty = Observed { first: First::Silent { messages: 0 }, ..SILENT };
        assert_eq!(judge(10, &[empty, empty]), Found::Changed(Evidence::Empty));
        // Two kinds are no agreement.
        assert_eq!(judge(10, &[ends, empty]), Found::Nothing);
        // The anchor was there after all.
        let same = Observed { differs: Some(false), ..SILENT };
        assert_eq!(judge(10, &[same, same]), Found::Nothing);
    }
}
