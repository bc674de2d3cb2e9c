//! Commands of one socket: 50 a second, 50 at once after a pause. Who goes on against the refusals for 10 s is to go.

use std::time::Duration;
use tokio::time::Instant;

const PER_SECOND: f64 = 50.0;
const BURST: f64 = 50.0;
/// So long may somebody go on.
const PATIENCE: Duration = Duration::from_secs(10);
/// A pause after which it is forgotten.
const PAUSE: Duration = Duration::from_secs(2);

/// Counts the commands of one socket.
#[derive(Debug)]
pub(super) struct Throttle {
    left: f64,
    counted: Instant,
    /// First and last refusal of those that follow each other.
    refused: Option<(Instant, Instant)>,
}

/// What to do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    /// May be tried again after this.
    Refuse(Duration),
    /// Close the socket.
    Enough,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, counted: now, refused: None }
    }

    pub(super) fn count(&mut self, now: Instant) -> Verdict {
        self.left = (self.left + (now - self.counted).as_secs_f64() * PER_SECOND).min(BURST);
        self.counted = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Verdict::Take;
        }
        let first = self.refused.filter(|(_, last)| now - *last < PAUSE).map_or(now, |(first, _)| first);
        self.refused = Some((first, now));
        if now - first >= PATIENCE {
            return Verdict::Enough;
        }
        Verdict::Refuse(Duration::from_secs_f64((1.0 - self.left) / PER_SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(per_second: u32, seconds: u32) -> (u32, Option<Duration>) {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let mut taken = 0;
        for number in 0..per_second * seconds {
            let now = start + Duration::from_secs(1) / per_second * number;
            match throttle.count(now) {
                Verdict::Take => taken += 1,
                Verdict::Refuse(wait) => assert!(wait <= Duration::from_millis(20)),
                Verdict::Enough => return (taken, Some(now - start)),
            }
        }
        (taken, None)
    }

    #[test]
    fn fifty_a_second_are_taken_for_ever() {
        assert_eq!(run(50, 60), (3000, None));
    }

    #[test]
    fn more_is_refused_and_after_ten_seconds_it_is_enough() {
        let (taken, end) = run(100, 60);
        let end = end.unwrap();
        // The first fifty above the rate are the burst.
        assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&end), "{end:?}");
        assert!((500..=700).contains(&taken), "{taken}");
        assert!(run(60, 60).1.is_some());
    }

    #[test]
    fn a_pause_is_forgiven() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let mut refused = 0;
        for burst in 0..10_u64 {
            for _ in 0..60 {
                match throttle.count(start + Duration::from_secs(burst * 3)) {
                    Verdict::Take => {}
                    Verdict::Refuse(_) => refused += 1,
                    Verdict::Enough => panic!("in burst {burst}"),
                }
            }
        }
        assert_eq!(refused, 100);
    }
}
