//! When a room counts as withdrawn, pure. Absence is not intent: a manifest must be missing from two complete looks five seconds
//! apart, nothing that cannot be read may hide it, and a loss that looks like an accident waits for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use contract::room::RoomName;
use tokio::time::Instant;

use super::Scan;

/// Between the look that misses a manifest and the one that confirms it.
pub(crate) const TWICE: Duration = Duration::from_secs(5);

/// What is known about manifests that are missing.
#[derive(Debug, Default)]
pub(crate) struct Withdrawals {
    missing: BTreeMap<RoomName, Missing>,
    /// Files that could not be understood at the last look, by name, with what they held.
    unclear: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    /// It went together with too many others. Stays so until confirmed or back.
    held: bool,
    /// A person said that it is meant.
    confirmed: bool,
    /// Files that became unclear when or after it went: it may be in one of them.
    suspects: BTreeSet<Arc<str>>,
}

/// How a room without a manifest stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its file is there but cannot be understood.
    Unclear(Arc<str>),
    /// Its file is gone, but it may be in this one, which cannot be understood.
    Hidden(Arc<str>),
    /// The list was not complete.
    Incomplete,
    /// Missing for the first time.
    Missing,
    /// Missing together with too many others: waits for a person.
    Held,
    /// Withdrawn.
    Withdrawn,
}

/// One look, and what the rows say.
pub(crate) struct Look<'a> {
    /// When.
    pub(crate) now: Instant,
    /// What the source has.
    pub(crate) scan: &'a Scan,
    /// What owners begin with that belong to this source.
    pub(crate) prefix: &'a str,
    /// Rooms that rows give to owners of this source and that none of them let go of.
    pub(crate) held: &'a BTreeMap<RoomName, String>,
    /// Rooms that any file declares.
    pub(crate) declared: &'a BTreeSet<RoomName>,
    /// The source itself says what was deleted: many at once are no accident of a folder that is not mounted.
    pub(crate) deletes: bool,
}

impl Withdrawals {
    /// How each held room that nothing declares stands after this look.
    pub(crate) fn look(&mut self, look: &Look<'_>) -> BTreeMap<RoomName, Standing> {
        let unclear: BTreeMap<_, _> = look
            .scan
            .files
            .values()
            .filter(|file| !file.whole)
            .map(|file| (file.name.clone(), file.text.clone()))
            .collect();
        let fresh = |name: &Arc<str>| self.unclear.get(name) != unclear.get(name);
        let fresh: BTreeSet<Arc<str>> = unclear.keys().filter(|name| fresh(name)).cloned().collect();
        self.missing.retain(|room, _| look.held.contains_key(room) && !look.declared.contains(room));
        let mut standings = BTreeMap::new();
        for (room, owner) in look.held.iter().filter(|(room, _)| !look.declared.contains(*room)) {
            let file = owner.strip_prefix(look.prefix).and_then(|name| unclear.get_key_value(name));
            if let Some((name, _)) = file {
                self.missing.remove(room);
                standings.insert(room.clone(), Standing::Unclear(name.clone()));
            } else if look.scan.incomplete.is_some() {
                standings.insert(room.clone(), Standing::Incomplete);
            } else {
                let entry = self.missing.entry(room.clone()).or_insert_with(|| Missing::new(look.now));
                entry.suspects.extend(fresh.iter().cloned());
                entry.suspects.retain(|name| unclear.contains_key(name));
            }
        }
        if look.scan.incomplete.is_none() {
            if !look.deletes {
                self.hold(look);
            }
            for (room, missing) in &self.missing {
                standings.insert(room.clone(), missing.standing(look.now));
            }
        }
        self.unclear = unclear;
        standings
    }

    /// The folder is missing or empty, or lost more than half of its rooms at once. One file that goes is normal.
    fn hold(&mut self, look: &Look<'_>) {
        let files: BTreeSet<&String> = self.missing.keys().filter_map(|room| look.held.get(room)).collect();
        let most = 2 * self.missing.len() > look.held.len() && files.len() > 1;
        if look.scan.missing || look.declared.is_empty() || most {
            self.missing.values_mut().for_each(|missing| missing.held = true);
        }
    }

    /// A person says that what is held now is meant; gives those rooms.
    pub(crate) fn confirm(&mut self) -> Vec<RoomName> {
        let held = self.missing.iter_mut().filter(|(_, missing)| missing.held && !missing.confirmed);
        held.map(|(room, missing)| {
            missing.confirmed = true;
            room.clone()
        })
        .collect()
    }

    /// When to look again, if something is missing for the first time.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let waiting = self.missing.values().filter(|missing| !missing.held && missing.suspects.is_empty());
        waiting.map(|missing| missing.since + TWICE).min()
    }
}

impl Missing {
    fn new(since: Instant) -> Self {
        Self { since, held: false, confirmed: false, suspects: BTreeSet::new() }
    }

    fn standing(&self, now: Instant) -> Standing {
        match self.suspects.first() {
            _ if self.held && self.confirmed => Standing::Withdrawn,
            _ if self.held => Standing::Held,
            Some(file) => Standing::Hidden(file.clone()),
            None if now >= self.since + TWICE => Standing::Withdrawn,
            None => Standing::Missing,
        }
    }
}

#[cfg(test)]
#[path = "withdrawal_tests.rs"]
mod tests;
