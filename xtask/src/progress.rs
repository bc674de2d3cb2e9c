//! Lines that say what happens, with the seconds since the command began, and the time of each step for a table at the end.

use std::time::{Duration, Instant};

/// Since when, and what took how long.
pub(crate) struct Progress {
    start: Instant,
    last: Instant,
    steps: Vec<(String, Duration)>,
}

impl Progress {
    /// The clock starts now.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { start: now, last: now, steps: Vec::new() }
    }

    /// One line of progress.
    pub(crate) fn say(&self, line: &str) {
        println!("{:>7.1} s  {line}", self.start.elapsed().as_secs_f64());
    }

    /// A step ended: everything since the one before belongs to it.
    pub(crate) fn done(&mut self, step: &str, line: &str) {
        let now = Instant::now();
        self.steps.push((step.to_owned(), now - self.last));
        self.last = now;
        self.say(&format!("{step:<14}{line}"));
    }

    /// The steps with their times, in one line.
    pub(crate) fn times(&self) -> String {
        let each: Vec<String> =
            self.steps.iter().map(|(step, time)| format!("{step} {:.1} s", time.as_secs_f64())).collect();
        format!("{} · all {:.1} s", each.join(" · "), self.start.elapsed().as_secs_f64())
    }
}
