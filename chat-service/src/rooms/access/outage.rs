//! Whether PostgreSQL is away, as far as it was noticed here. Pure but for the clock.

use std::time::Duration;
use tokio::time::Instant;

/// While PostgreSQL is away it is asked so often, by one at a time; everybody else has what was known.
const PAUSE: Duration = Duration::from_secs(1);

/// There until something fails.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Away: to be looked at again from then on.
    next: Option<Instant>,
}

impl Outage {
    /// While PostgreSQL is away true for one caller now and then, who finds out whether it is back.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match self.next {
            None => true,
            Some(next) if now < next => false,
            Some(_) => {
                self.next = Some(now + PAUSE);
                true
            }
        }
    }

    /// Somebody has asked.
    pub(super) fn note(&mut self, failed: bool, now: Instant) {
        self.next = failed.then(|| now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_postgresql_is_away_one_looks_for_it_and_the_others_do_not_wait() {
        let (mut outage, now) = (Outage::default(), Instant::now());
        assert!(outage.may_ask(now) && outage.may_ask(now));
        outage.note(true, now);
        assert!(!outage.may_ask(now));
        assert!(outage.may_ask(now + PAUSE) && !outage.may_ask(now + PAUSE));
        outage.note(false, now + PAUSE);
        assert!(outage.may_ask(now + PAUSE) && outage.may_ask(now + PAUSE));
    }
}
