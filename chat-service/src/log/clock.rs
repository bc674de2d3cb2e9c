//! How old a command is, by clocks that run while the process is frozen; how old an event and an id.

use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The moment at which a command came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    monotonic: Instant,
    wall: SystemTime,
}

impl Started {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The greater of two: Linux' monotonic clock runs on while a process is stopped (SIGSTOP, a frozen cgroup) but not while the
    /// machine sleeps or is paused, after which the wall clock is set right. A wall clock set back changes nothing, one set
    /// forward costs a temporary error.
    pub(super) fn age(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// When it was `time` by the wall clock, an event's time; now for a time to come.
pub(super) fn moment(time: &str) -> Instant {
    let now = Instant::now();
    let passed = OffsetDateTime::parse(time, &Rfc3339).ok().map(|time| OffsetDateTime::now_utc() - time);
    let passed = passed.and_then(|passed| Duration::try_from(passed).ok()).unwrap_or_default();
    now.checked_sub(passed).unwrap_or(now)
}

/// How far the time in a UUIDv7 is from now, in whichever direction; `None` for other ids.
pub(super) fn distance(id: Uuid, now: SystemTime) -> Option<Duration> {
    if id.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let then = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))?;
    Some(now.duration_since(then).unwrap_or_else(|error| error.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_one_of_another_kind_does_not() {
        let now = SystemTime::now();
        assert!(distance(Uuid::now_v7(), now).unwrap() < Duration::from_secs(1));
        let old = uuid::Timestamp::from_unix(uuid::NoContext, 1_700_000_000, 0);
        assert!(distance(Uuid::new_v7(old), now).unwrap() > Duration::from_hours(24));
        let ahead = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 600;
        let ahead = uuid::Timestamp::from_unix(uuid::NoContext, ahead, 0);
        assert!(distance(Uuid::new_v7(ahead), now).unwrap() > Duration::from_secs(500));
        assert_eq!(distance(Uuid::new_v4(), now), None);
    }

    #[test]
    fn a_moment_is_as_long_ago_as_its_time_and_never_to_come() {
        let hour = time::Duration::hours(1);
        let ago = |time: OffsetDateTime| moment(&service::clock::rfc3339_ms(time)).elapsed();
        let past = ago(OffsetDateTime::now_utc() - hour);
        assert!(past >= Duration::from_hours(1) && past < Duration::from_mins(61), "{past:?}");
        assert!(ago(OffsetDateTime::now_utc() + hour) < Duration::from_mins(1));
    }

    #[test]
    fn a_wall_clock_that_was_set_back_makes_nothing_young() {
        let mut started = Started::now();
        started.wall += Duration::from_hours(1);
        started.monotonic -= Duration::from_secs(7);
        assert!(started.age() >= Duration::from_secs(7) && started.age() < Duration::from_secs(8));
        started.wall -= Duration::from_secs(3700);
        assert!(started.age() >= Duration::from_secs(100));
    }
}
