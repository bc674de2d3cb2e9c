//! The revocations that this process knows, by version. Pure.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

/// A session that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) session: Uuid,
    pub(crate) user: Uuid,
    /// Unix second after which no access token of it can be valid.
    pub(crate) forget_at: i64,
}

/// What a watcher is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Where the watcher stands after it.
    pub(crate) version: u64,
    /// Whether the watcher has to forget what it knew.
    pub(crate) snapshot: bool,
    pub(crate) revocations: Vec<Revocation>,
}

/// All that may still matter.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Who knows only versions below it needs the whole: the record was begun anew there. 0: the record was never read.
    floor: u64,
    version: u64,
    by_version: BTreeMap<u64, Revocation>,
    versions: HashMap<Uuid, u64>,
}

impl Known {
    /// Where the record was begun, and how far it was read.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.floor, self.version)
    }

    /// Whether the record was ever read.
    pub(crate) fn is_read(&self) -> bool {
        self.floor > 0
    }

    /// Whether this session ended.
    pub(crate) fn has(&self, session: Uuid) -> bool {
        self.versions.contains_key(&session)
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// All, in the order of their versions.
    pub(crate) fn all(&self) -> Vec<Revocation> {
        self.by_version.values().copied().collect()
    }

    /// Takes in what was read: entries, and the version that the record has after them.
    pub(crate) fn extend(&mut self, version: u64, entries: &[(u64, Revocation)]) {
        for (version, revocation) in entries {
            if let Some(old) = self.versions.insert(revocation.session, *version) {
                self.by_version.remove(&old);
            }
            self.by_version.insert(*version, *revocation);
        }
        self.version = version;
    }

    /// The record was begun anew: these are its entries, and with them ours that it lacks would be gone, so the caller has put
    /// those there before.
    pub(crate) fn replace(&mut self, floor: u64, version: u64, entries: &[(u64, Revocation)]) {
        *self = Self { floor, ..Self::default() };
        self.extend(version, entries);
    }

    /// Forgets what cannot matter any more.
    pub(crate) fn forget(&mut self, now: i64) {
        self.by_version.retain(|_, revocation| revocation.forget_at >= now);
        self.versions.retain(|_, version| self.by_version.contains_key(version));
    }

    /// What a watcher that stands at `since` has to be told next, at most `limit` of it; `None`: nothing.
    /// Where it needs a snapshot that is larger, the rest follows as diffs.
    pub(crate) fn after(&self, since: u64, limit: usize) -> Option<Page> {
        let snapshot = since < self.floor || since > self.version;
        if !snapshot && since == self.version {
            return None;
        }
        let from = if snapshot { 0 } else { since.saturating_add(1) };
        let mut entries = self.by_version.range(from..);
        let page: Vec<_> = entries.by_ref().take(limit).collect();
        let version = match page.last() {
            // Entries stand above the floor, so a watcher in mid-snapshot does not begin again.
            Some((version, _)) if entries.next().is_some() => **version,
            _ => self.version,
        };
        Some(Page { version, snapshot, revocations: page.into_iter().map(|(_, revocation)| *revocation).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(n: u32) -> Revocation {
        Revocation { session: Uuid::from_u128(n.into()), user: Uuid::from_u128(1), forget_at: 1_000 + i64::from(n) }
    }

    fn known(floor: u64, entries: &[u32]) -> Known {
        let mut known = Known::default();
        let entries: Vec<_> = entries.iter().map(|&version| (u64::from(version), revocation(version))).collect();
        known.replace(floor, entries.last().map_or(floor, |(version, _)| *version), &entries);
        known
    }

    #[test]
    fn a_watcher_gets_a_snapshot_first_and_then_what_is_new() {
        let mut known = known(100, &[101, 102]);
        let first = known.after(0, 10).unwrap();
        assert!(first.snapshot && first.version == 102 && first.revocations.len() == 2);
        assert_eq!(known.after(102, 10), None);
        known.extend(103, &[(103, revocation(103))]);
        let diff = known.after(102, 10).unwrap();
        assert_eq!(diff, Page { version: 103, snapshot: false, revocations: vec![revocation(103)] });
    }

    #[test]
    fn a_record_begun_anew_is_a_snapshot_for_whoever_stands_before_it_or_beyond_it() {
        let known = known(100, &[101]);
        assert!(known.after(99, 10).unwrap().snapshot);
        assert!(known.after(102, 10).unwrap().snapshot);
        assert!(!known.after(100, 10).unwrap().snapshot);
    }

    #[test]
    fn a_large_snapshot_comes_in_pages_and_begins_only_once() {
        let known = known(100, &[101, 102, 103, 104, 105]);
        let mut at = 0;
        let mut seen = Vec::new();
        let mut snapshots = 0;
        while let Some(page) = known.after(at, 2) {
            snapshots += u32::from(page.snapshot);
            seen.extend(page.revocations);
            at = page.version;
        }
        assert_eq!((seen.len(), snapshots, at), (5, 1, 105));
    }

    #[test]
    fn what_is_over_is_forgotten_and_a_version_stays() {
        let mut known = known(100, &[101, 102]);
        known.forget(1_102);
        assert!(!known.has(Uuid::from_u128(101)) && known.has(Uuid::from_u128(102)));
        assert_eq!(known.len(), 1);
        assert_eq!(known.position(), (100, 102));
    }

    #[test]
    fn a_session_that_is_told_again_counts_once() {
        let mut known = known(100, &[101]);
        known.extend(150, &[(150, revocation(101))]);
        assert_eq!((known.len(), known.all().len()), (1, 1));
    }
}
