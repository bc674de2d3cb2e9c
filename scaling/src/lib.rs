//! How many pods a program is to have, pure: from the load that its pods measured, between bounds, calmly. Time is handed in, as what
//! has passed since any moment; it never goes back.

use std::collections::VecDeque;
use std::time::Duration;

/// Load that differs less from what the pods can carry is no reason to do anything, as a share.
const TOLERANCE: f64 = 0.1;
/// More pods come only when all of this time asked for them.
const UP_WINDOW: Duration = Duration::from_secs(15);
/// Fewer pods only when none of this time asked for more, unless another one is given.
pub const DOWN_WINDOW: Duration = Duration::from_mins(5);
/// Between two steps up: the new pods take their share first.
const UP_PAUSE: Duration = Duration::from_secs(30);
/// Steps down in the time after which the first one comes: what a pod that goes carried has found its place by the next.
const DOWN_STEPS: u32 = 5;

/// Fewest and most pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most; not below `min`.
    pub max: u32,
}

impl Bounds {
    fn clamp(self, pods: u32) -> u32 {
        pods.clamp(self.min, self.max.max(self.min))
    }
}

/// What is remembered of one program between decisions.
#[derive(Debug)]
pub struct Scaler {
    down_window: Duration,
    /// What the load asked for, within that time, without a gap.
    wanted: VecDeque<(Duration, u32)>,
    /// When this unbroken row of measurements began.
    since: Option<Duration>,
    up_at: Option<Duration>,
    down_at: Option<Duration>,
}

impl Default for Scaler {
    fn default() -> Self {
        Self::new(DOWN_WINDOW)
    }
}

impl Scaler {
    /// Remembers nothing yet. `down_window`: fewer pods only when none of this time asked for more.
    pub fn new(down_window: Duration) -> Self {
        Self { down_window, wanted: VecDeque::new(), since: None, up_at: None, down_at: None }
    }

    /// How many pods there are to be, of `current`. `load` is in pods: 2.5 fills two and a half of them as far as is wanted. `None`: not
    /// all pods told; then nothing is decided, and what was seen before does not count for fewer pods any more.
    pub fn decide(&mut self, now: Duration, bounds: Bounds, current: u32, load: Option<f64>) -> u32 {
        let Some(load) = load.filter(|load| load.is_finite() && *load >= 0.0) else {
            self.wanted.clear();
            self.since = None;
            return bounds.clamp(current);
        };
        let since = *self.since.get_or_insert(now);
        self.wanted.push_back((now, bounds.clamp(pods(load, current))));
        self.wanted.retain(|(at, _)| now.saturating_sub(*at) <= self.down_window);
        if bounds.clamp(current) != current {
            return bounds.clamp(current);
        }
        let within = |window: Duration| self.wanted.iter().filter(move |(at, _)| now.saturating_sub(*at) <= window);
        let (up, down) =
            (within(UP_WINDOW).map(|(_, pods)| *pods).min(), within(self.down_window).map(|(_, pods)| *pods).max());
        let (up, down) = (up.unwrap_or(current), down.unwrap_or(current));
        if up > current && now.saturating_sub(since) >= UP_WINDOW && has_passed(self.up_at, now, UP_PAUSE) {
            self.up_at = Some(now);
            return bounds.clamp(up.min((2 * current).max(current + 4)));
        }
        if down < current
            && now.saturating_sub(since) >= self.down_window
            && has_passed(self.down_at, now, self.down_window / DOWN_STEPS)
        {
            self.down_at = Some(now);
            return bounds.clamp(down.max(current - (current / 10).max(1)));
        }
        current
    }
}

/// As many as carry the load; as they are where that is about what they carry.
fn pods(load: f64, current: u32) -> u32 {
    let differs = (load / f64::from(current.max(1)) - 1.0).abs() > TOLERANCE;
    if !differs {
        return current;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and the load is not negative"
    )]
    let needed = load.ceil() as u32;
    needed
}

fn has_passed(last: Option<Duration>, now: Duration, pause: Duration) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Between two measurements.
    const EVERY: Duration = Duration::from_secs(15);
    const BOUNDS: Bounds = Bounds { min: 2, max: 20 };

    /// Decides once for each load, 15 s apart, each time from what was decided before.
    fn run(scaler: &mut Scaler, bounds: Bounds, start: (Duration, u32), loads: &[Option<f64>]) -> Vec<u32> {
        let (mut now, mut current) = start;
        let mut all = Vec::new();
        for load in loads {
            current = scaler.decide(now, bounds, current, *load);
            all.push(current);
            now += EVERY;
        }
        all
    }

    fn fresh(current: u32, loads: &[Option<f64>]) -> Vec<u32> {
        run(&mut Scaler::default(), BOUNDS, (Duration::ZERO, current), loads)
    }

    #[test]
    fn more_pods_come_after_a_quarter_of_a_minute_and_at_most_twice_as_many_at_once() {
        assert_eq!(fresh(2, &[Some(3.0); 3]), [2, 3, 3]);
        // Six at first, then what is wanted.
        assert_eq!(fresh(2, &[Some(18.0); 6]), [2, 6, 6, 12, 12, 18]);
        // One peak alone is none.
        assert_eq!(fresh(2, &[Some(1.0), Some(9.0), Some(1.0), Some(9.0)]), [2; 4]);
    }

    #[test]
    fn pods_go_one_by_one_after_five_minutes_in_which_none_was_wanted() {
        let found = fresh(5, &[Some(1.0); 40]);
        let steps: Vec<usize> = (1..40).filter(|index| found[*index] != found[index - 1]).collect();
        assert_eq!(steps, [20, 24, 28], "{found:?}");
        assert_eq!(found[39], 2);
        // A peak within the five minutes keeps them all.
        let mut loads = [Some(1.0); 40];
        loads[10] = Some(5.0);
        assert_eq!(fresh(5, &loads)[..30], [5; 30]);
    }

    #[test]
    fn missing_data_decides_nothing_and_breaks_the_row() {
        let mut loads = [Some(1.0); 60];
        loads[19] = None;
        let found = fresh(5, &loads);
        assert_eq!(found[..39], [5; 39], "five minutes from the gap on");
        assert!(found[59] < 5);
        assert_eq!(fresh(5, &[None; 60]), [5; 60]);
        assert_eq!(fresh(5, &[Some(f64::NAN); 60]), [5; 60]);
        // Bounds hold also without data.
        assert_eq!(fresh(30, &[None])[0], 20);
        assert_eq!(fresh(0, &[None])[0], 2);
    }

    proptest! {
        #[test]
        fn bounds_hold_whatever_is_measured(
            loads in prop::collection::vec(prop::option::of(0.0..1e9f64), 1..200),
            min in 1..10u32, more in 0..10u32, current in 0..100u32,
        ) {
            let bounds = Bounds { min, max: min + more };
            for found in run(&mut Scaler::default(), bounds, (Duration::ZERO, current), &loads) {
                prop_assert!((min..=min + more).contains(&found));
            }
        }

        #[test]
        fn a_steady_load_is_carried_after_some_minutes_and_then_nothing_moves(load in 0.0..20.0f64, current in 2..20u32) {
            let found = fresh(current, &[Some(load); 200]);
            let last = found[199];
            prop_assert!(found[150..].iter().all(|pods| *pods == last), "{found:?}");
            prop_assert!(load <= f64::from(last) * (1.0 + TOLERANCE), "{last} pods for {load}");
            prop_assert!(last == 2 || f64::from(last) * (1.0 - TOLERANCE) <= load + 1.0, "{last} pods for {load}");
        }

        #[test]
        fn noise_within_the_tolerance_moves_nothing(pods in 2..20u32, noise in prop::collection::vec(-0.099..0.099f64, 1..100)) {
            let loads: Vec<_> = noise.iter().map(|noise| Some(f64::from(pods) * (1.0 + noise))).collect();
            prop_assert!(fresh(pods, &loads).iter().all(|found| *found == pods));
        }

        #[test]
        fn no_pod_goes_within_five_minutes_of_a_load_that_needs_it(loads in prop::collection::vec(0.0..20.0f64, 30..200), current in 2..20u32) {
            let options: Vec<_> = loads.iter().copied().map(Some).collect();
            let found = fresh(current, &options);
            for index in 1..found.len() {
                if found[index] < found[index - 1] {
                    let lately = &loads[index.saturating_sub(20)..=index];
                    let most = lately.iter().fold(0.0f64, |most, load| most.max(*load));
                    prop_assert!(most <= f64::from(found[index]) * (1.0 + TOLERANCE), "{most} at {index} of {found:?}");
                }
            }
        }
    }
}
