//! When the servers are looked at, pure: everything once an interval and when a hint says so, the rows alone before a change, and
//! while a server is away one probe for all rooms.

use std::time::Duration;

use service::retry::Backoff;
use tokio::time::Instant;

use crate::platform::Extent;

/// Between two looks that hints or changes ask for.
const PAUSE: Duration = Duration::from_secs(1);

/// The next looks.
pub(super) struct Schedule {
    resync: Duration,
    backoff: Backoff,
    /// The next look at everything.
    all: Instant,
    /// The next look at the rows alone.
    rows: Option<Instant>,
    /// When each was read last.
    all_read: Option<Instant>,
    rows_read: Option<Instant>,
    /// One is running.
    running: bool,
    /// What was asked for meanwhile.
    asked: Option<Extent>,
}

impl Schedule {
    /// The first look is at `first`.
    pub(super) fn new(resync: Duration, first: Instant) -> Self {
        Self {
            resync,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(10)),
            all: first,
            rows: None,
            all_read: None,
            rows_read: None,
            running: false,
            asked: None,
        }
    }

    /// What is due.
    pub(super) fn due(&self, now: Instant) -> Option<Extent> {
        if self.is_running() {
            None
        } else if self.all <= now {
            Some(Extent::All)
        } else {
            self.rows.filter(|at| *at <= now).map(|_| Extent::Rows)
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.is_running()).then(|| self.rows.map_or(self.all, |rows| rows.min(self.all)))
    }

    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Whether rows were ever read.
    pub(super) fn rows_known(&self) -> bool {
        self.rows_read.is_some()
    }

    /// Something may be otherwise than it was read: look soon, but not more often than makes sense.
    pub(super) fn ask(&mut self, extent: Extent, now: Instant) {
        if self.running {
            if self.asked != Some(Extent::All) {
                self.asked = Some(extent);
            }
            return;
        }
        let soon = |read: Option<Instant>| read.map_or(now, |read| (read + PAUSE).max(now));
        match extent {
            Extent::All => self.all = self.all.min(soon(self.all_read)),
            Extent::Rows => {
                let at = soon(self.rows_read);
                self.rows = Some(self.rows.map_or(at, |rows| rows.min(at)));
            }
        }
    }

    /// A change is to be compared with rows as they are: those that were read a moment ago are.
    pub(super) fn before_change(&mut self, now: Instant) {
        let fresh = self.rows_read.is_some_and(|read| now < read + PAUSE);
        if self.rows_known() && !fresh {
            self.ask(Extent::Rows, now);
        }
    }

    /// A server did not answer: the next look is the probe.
    pub(super) fn probe(&mut self, now: Instant) {
        if !self.is_running() {
            self.all = self.all.min(now + self.backoff.next());
        }
    }

    /// A look begins.
    pub(super) fn started(&mut self) {
        self.running = true;
    }

    /// It ended, and read this.
    pub(super) fn read(&mut self, extent: Extent, now: Instant) {
        self.backoff.reset();
        self.rows = None;
        self.rows_read = Some(now);
        if extent == Extent::All {
            self.all_read = Some(now);
            self.all = now + self.resync;
        }
        self.ended(now);
    }

    /// It ended with an error.
    pub(super) fn failed(&mut self, now: Instant) {
        self.rows = None;
        self.all = now + self.backoff.next();
        self.ended(now);
    }

    fn ended(&mut self, now: Instant) {
        self.running = false;
        if let Some(extent) = self.asked.take() {
            self.ask(extent, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESYNC: Duration = Duration::from_secs(30);

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// A schedule that read everything at `start`.
    fn settled(start: Instant) -> Schedule {
        let mut schedule = Schedule::new(RESYNC, start);
        assert_eq!(schedule.due(start), Some(Extent::All));
        schedule.started();
        assert_eq!((schedule.due(start), schedule.next()), (None, None));
        schedule.read(Extent::All, start);
        schedule
    }

    #[test]
    fn everything_is_read_once_an_interval() {
        let start = Instant::now();
        let schedule = settled(start);
        assert_eq!(schedule.next(), Some(start + RESYNC));
        assert_eq!(schedule.due(after(start, 29_999)), None);
        assert_eq!(schedule.due(start + RESYNC), Some(Extent::All));
    }

    #[test]
    fn a_change_reads_the_rows_alone_and_moves_no_look_at_everything() {
        let start = Instant::now();
        let mut schedule = settled(start);
        schedule.before_change(after(start, 500));
        assert_eq!(schedule.due(after(start, 500)), None, "they were read half a second ago");
        schedule.before_change(after(start, 5000));
        assert_eq!(schedule.due(after(start, 5000)), Some(Extent::Rows));
        schedule.started();
        schedule.read(Extent::Rows, after(start, 5100));
        assert_eq!(schedule.next(), Some(start + RESYNC));
    }

    #[test]
    fn hints_are_answered_at_most_once_a_second_and_none_is_forgotten() {
        let start = Instant::now();
        let mut schedule = settled(start);
        schedule.ask(Extent::All, after(start, 300));
        assert_eq!(schedule.next(), Some(after(start, 1000)));
        // A change in between reads the rows, and the look stays asked for.
        schedule.ask(Extent::Rows, after(start, 300));
        assert_eq!(schedule.due(after(start, 1000)), Some(Extent::All));
        schedule.started();
        schedule.ask(Extent::All, after(start, 1100));
        schedule.ask(Extent::Rows, after(start, 1200));
        schedule.read(Extent::All, after(start, 1300));
        assert_eq!(schedule.due(after(start, 2300)), Some(Extent::All));
    }

    #[test]
    fn while_a_server_is_away_there_is_one_probe_less_and_less_often() {
        let start = Instant::now();
        let mut schedule = settled(start);
        let mut now = after(start, 5000);
        schedule.probe(now);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let next = schedule.next().unwrap();
            waits.push(next - now);
            now = next;
            assert_eq!(schedule.due(now), Some(Extent::All));
            schedule.started();
            schedule.failed(now);
        }
        assert!(
            waits.iter().all(|wait| *wait >= Duration::from_millis(250) && *wait <= Duration::from_secs(10)),
            "{waits:?}"
        );
        schedule.started();
        schedule.read(Extent::All, now);
        assert_eq!(schedule.next(), Some(now + RESYNC));
    }
}
