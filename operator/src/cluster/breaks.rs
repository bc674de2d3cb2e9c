//! Workers that broke, and how long each rests before it starts again. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::room::RoomName;
use service::retry::Backoff;
use tokio::time::Instant;

const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_mins(1);
/// A worker that lived so long was a good one: its next rest is a short one again.
const GOOD: Duration = Duration::from_mins(5);

/// By platform.
#[derive(Default)]
pub(super) struct Breaks(BTreeMap<RoomName, (Backoff, Instant)>);

impl Breaks {
    /// A worker broke at `now` after it had lived for so long.
    pub(super) fn note(&mut self, platform: RoomName, lived: Duration, now: Instant) {
        let (backoff, until) = self.0.entry(platform).or_insert_with(|| (Backoff::new(FIRST_REST, LONGEST_REST), now));
        if lived >= GOOD {
            backoff.reset();
        }
        *until = now + backoff.next();
    }

    /// Whether this platform's worker is not to be started yet.
    pub(super) fn rests(&self, platform: &RoomName, now: Instant) -> bool {
        self.0.get(platform).is_some_and(|(_, until)| now < *until)
    }

    /// Forgets platforms that are gone.
    pub(super) fn keep(&mut self, keep: impl Fn(&RoomName) -> bool) {
        self.0.retain(|platform, _| keep(platform));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_broke_rests_and_longer_while_it_goes_on_breaking() {
        let (mut breaks, now) = (Breaks::default(), Instant::now());
        let [one, other]: [RoomName; 2] = ["a/one", "a/other"].map(|name| name.parse().unwrap());
        breaks.note(one.clone(), Duration::ZERO, now);
        assert!(breaks.rests(&one, now) && !breaks.rests(&other, now));
        assert!(!breaks.rests(&one, now + FIRST_REST));
        (0..20).for_each(|_| breaks.note(one.clone(), Duration::ZERO, now));
        let waits = (0..20).map(|_| {
            breaks.note(one.clone(), Duration::ZERO, now);
            breaks.rests(&one, now + FIRST_REST)
        });
        assert!(waits.filter(|rests| *rests).count() > 10);
        assert!(!breaks.rests(&one, now + LONGEST_REST));
        breaks.note(one.clone(), GOOD, now);
        assert!(!breaks.rests(&one, now + FIRST_REST));
        breaks.note(one.clone(), Duration::ZERO, now);
        breaks.keep(|platform| *platform != one);
        assert!(!breaks.rests(&one, now));
    }
}
