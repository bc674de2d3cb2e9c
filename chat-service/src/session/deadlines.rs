//! Everything in a socket's life that happens by the clock, behind one timer.

use rand::RngExt;
use std::time::Duration;
use tokio::time::Instant;

/// `connect` comes within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Between two pings, give or take a tenth.
pub(super) const PING_EVERY: Duration = Duration::from_secs(25);
/// The answer comes within this.
const PONG_LIMIT: Duration = Duration::from_secs(10);
/// A token's end is announced so early.
const WARN_BEFORE: Duration = Duration::from_mins(1);
/// A socket that takes nothing for so long is too slow.
pub(super) const BLOCKED_LIMIT: Duration = Duration::from_secs(15);

/// Times of one socket.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    connect: Option<Instant>,
    ping: Option<Instant>,
    pong: Option<Instant>,
    warn: Option<Instant>,
    expire: Option<Instant>,
    /// Read pointers that wait are written.
    pub(super) pointers: Option<Instant>,
    /// What is still on its way may take until then, once the socket is to leave.
    pub(super) leave: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    NoConnect,
    NoPong,
    Expired,
    Ping,
    /// The token ends in so long.
    Warn(Duration),
    Pointers,
    Leave,
}

impl Deadlines {
    pub(super) fn opened(now: Instant) -> Self {
        Self { connect: Some(now + CONNECT_LIMIT), ..Self::default() }
    }

    /// `connect` was understood; from now on the server pings.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connect = None;
        self.ping = Some(now + ping_pause());
    }

    /// A token that holds for so long.
    pub(super) fn token(&mut self, now: Instant, left: Duration) {
        self.expire = Some(now + left);
        self.warn = Some(now + left.saturating_sub(WARN_BEFORE));
    }

    /// Something came: the peer is there.
    pub(super) fn heard(&mut self) {
        self.pong = None;
    }

    /// A ping is on its way.
    pub(super) fn awaits_pong(&self) -> bool {
        self.pong.is_some()
    }

    /// Nobody listens at the moment, so nothing can be missed.
    pub(super) fn deaf(&mut self, now: Instant) {
        if self.pong.is_some() {
            self.pong = Some(now + PONG_LIMIT);
        }
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<Instant> {
        let all = [self.connect, self.ping, self.pong, self.warn, self.expire, self.pointers, self.leave];
        all.into_iter().flatten().min()
    }

    /// What is due now, the worst first; each is given once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let take = |deadline: &mut Option<Instant>| deadline.take_if(|at| *at <= now).is_some();
        if take(&mut self.expire) {
            Some(Due::Expired)
        } else if take(&mut self.connect) {
            Some(Due::NoConnect)
        } else if take(&mut self.pong) {
            Some(Due::NoPong)
        } else if take(&mut self.leave) {
            Some(Due::Leave)
        } else if take(&mut self.warn) {
            Some(Due::Warn(self.expire.map_or(Duration::ZERO, |end| end - now)))
        } else if take(&mut self.ping) {
            self.ping = Some(now + ping_pause());
            self.pong.get_or_insert(now + PONG_LIMIT);
            Some(Due::Ping)
        } else if take(&mut self.pointers) {
            Some(Due::Pointers)
        } else {
            None
        }
    }
}

/// Sockets that came at once are not to be pinged at once.
fn ping_pause() -> Duration {
    PING_EVERY.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_socket_that_never_connects_is_due_after_ten_seconds() {
        let now = Instant::now();
        let mut deadlines = Deadlines::opened(now);
        assert_eq!(deadlines.next(), Some(now + seconds(10)));
        assert_eq!(deadlines.due(now + seconds(9)), None);
        assert_eq!(deadlines.due(now + seconds(10)), Some(Due::NoConnect));
        assert_eq!(deadlines.due(now + seconds(11)), None);
    }

    #[test]
    fn pings_come_every_25_seconds_and_any_frame_answers() {
        let now = Instant::now();
        let mut deadlines = Deadlines::opened(now);
        deadlines.connected(now);
        let first = deadlines.next().unwrap();
        assert!((seconds(22)..seconds(28)).contains(&(first - now)), "{:?}", first - now);
        assert_eq!(deadlines.due(first), Some(Due::Ping));
        assert!(deadlines.awaits_pong());
        assert_eq!(deadlines.next(), Some(first + seconds(10)));
        deadlines.heard();
        assert!(deadlines.next().unwrap() > first + seconds(20));
        let second = deadlines.next().unwrap();
        assert_eq!(deadlines.due(second), Some(Due::Ping));
        assert_eq!(deadlines.due(second + seconds(10)), Some(Due::NoPong));
    }

    #[test]
    fn the_end_of_a_token_is_announced_a_minute_before() {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.token(now, seconds(600));
        assert_eq!(deadlines.due(now + seconds(539)), None);
        assert_eq!(deadlines.due(now + seconds(540)), Some(Due::Warn(seconds(60))));
        deadlines.token(now + seconds(541), seconds(600));
        assert_eq!(deadlines.due(now + seconds(600)), None);
        assert_eq!(deadlines.due(now + seconds(1141)), Some(Due::Expired));
        let mut short = Deadlines::default();
        short.token(now, seconds(5));
        assert_eq!(short.due(now), Some(Due::Warn(seconds(5))));
    }
}
