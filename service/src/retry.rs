//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double up to a limit, each drawn at random so that those who failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// The first wait is at most `first`, no wait is longer than `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, ceiling: first }
    }

    /// The next wait: anything between half of `first` and the present ceiling.
    #[expect(clippy::should_implement_trait, reason = "an endless row of waits is no collection to iterate over")]
    pub fn next(&mut self) -> Duration {
        let ceiling = self.ceiling.min(self.most);
        let floor = (self.first / 2).min(ceiling);
        self.ceiling = ceiling.saturating_mul(2).min(self.most);
        floor + ceiling.saturating_sub(floor).mul_f64(rand::random::<f64>())
    }

    /// After a success: the next wait is a first one again.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_half_of_the_first_and_a_growing_ceiling() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, most);
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next();
            assert!(wait >= first / 2 && wait <= Duration::from_millis(ceiling), "{wait:?} of {ceiling}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[test]
    fn waits_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let waits: std::collections::BTreeSet<Duration> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits.len() > 5, "{waits:?}");
    }
}
