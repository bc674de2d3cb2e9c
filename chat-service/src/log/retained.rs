//! AMQP messages that the historian has not stored yet, as they were read: what a deleted log is salvaged from, what pages of
//! history lack, and the measure of how far the historian is behind. Pure.

use crate::log::delivery::Delivery;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes around a body in a segment: the chunk's header, the message's own headers, its exchange and key. 292 measured with RabbitMQ
/// 3.10 and a room's name of 14 bytes, which may be of 127.
const AROUND: usize = 512;

/// Consecutive messages of one log.
#[derive(Debug, Default)]
pub(super) struct Retained {
    deliveries: VecDeque<(Delivery, Instant)>,
    bytes: usize,
    /// Offset of the message before the first one here, -1 at the log's begin: from there on nothing is missing.
    before: i64,
    /// Bytes and the oldest's time of what did not fit, up to an offset.
    beyond: Option<Beyond>,
}

#[derive(Debug)]
struct Beyond {
    bytes: usize,
    last: i64,
}

impl Retained {
    /// Empty; the next message follows the one at `before`.
    pub(super) fn new(before: i64) -> Self {
        Self { before, ..Self::default() }
    }

    /// The next message, and when it was sent; `most_bytes` bounds what is kept: of too many the first are kept, because only what
    /// follows on the stored offset can be stored.
    pub(super) fn push(&mut self, delivery: Delivery, sent: Instant, most_bytes: usize) {
        let bytes = cost(&delivery);
        if self.beyond.is_some() || self.bytes + bytes > most_bytes {
            let last = offset(&delivery);
            let beyond = self.beyond.get_or_insert(Beyond { bytes: 0, last });
            (beyond.bytes, beyond.last) = (beyond.bytes + bytes, last);
            return;
        }
        self.bytes += bytes;
        self.deliveries.push_back((delivery, sent));
    }

    /// The historian has stored up to `off`.
    pub(super) fn stored(&mut self, off: i64) {
        while let Some((delivery, _)) = self.deliveries.front()
            && offset(delivery) <= off
        {
            self.before = offset(delivery);
            self.bytes -= cost(delivery);
            self.deliveries.pop_front();
        }
        // Only once all that was left out is stored does the row begin anew.
        if let Some(beyond) = &self.beyond
            && beyond.last <= off
        {
            self.before = beyond.last;
            self.beyond = None;
        }
    }

    /// Everything that was read after `off`, without a hole; `None` if some of it is not here.
    pub(super) fn after(&self, off: i64) -> Option<impl Iterator<Item = &Delivery>> {
        let start = self.deliveries.partition_point(|(delivery, _)| offset(delivery) <= off);
        let whole = off >= self.before && self.beyond.is_none();
        whole.then(|| self.deliveries.range(start..).map(|(delivery, _)| delivery))
    }

    /// What follows on `off` without a hole, as far as it goes; empty if the very next may be missing.
    pub(super) fn following(&self, off: i64) -> Vec<Delivery> {
        if off < self.before {
            return Vec::new();
        }
        let after = self.deliveries.iter().filter(|(delivery, _)| offset(delivery) > off);
        after.map(|(delivery, _)| delivery.clone()).collect()
    }

    /// Bytes that the historian has not stored.
    pub(super) fn unstored(&self) -> usize {
        self.bytes + self.beyond.as_ref().map_or(0, |beyond| beyond.bytes)
    }

    /// Bytes that are held.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long ago the oldest of them was sent.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.deliveries.front().map_or(Duration::ZERO, |(_, sent)| now.saturating_duration_since(*sent))
    }
}

fn offset(delivery: &Delivery) -> i64 {
    i64::try_from(delivery.offset).unwrap_or(i64::MAX)
}

/// What a message takes on the broker's disk, rather too much; here it takes less.
fn cost(delivery: &Delivery) -> usize {
    delivery.body.len() + AROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message of 40 bytes counts.
    const ONE: usize = 40 + AROUND;

    fn delivery(offset: u64, size: usize) -> Delivery {
        Delivery { offset, room: None, epoch: None, body: vec![0; size].into() }
    }

    fn offsets(row: &Retained, off: i64) -> Option<Vec<u64>> {
        Some(row.after(off)?.map(|delivery| delivery.offset).collect())
    }

    #[test]
    fn what_is_stored_goes_and_the_rest_stays_without_a_hole() {
        let mut row = Retained::new(9);
        (10..15).for_each(|at| row.push(delivery(at, 40), Instant::now(), 10_000));
        assert_eq!(offsets(&row, 9), Some(vec![10, 11, 12, 13, 14]));
        // Somewhat before its begin is not here.
        assert_eq!(offsets(&row, 8), None);
        row.stored(11);
        assert_eq!((offsets(&row, 10), offsets(&row, 12)), (None, Some(vec![13, 14])));
        assert_eq!(row.unstored(), 3 * ONE);
        row.stored(99);
        assert_eq!((row.unstored(), offsets(&row, 99)), (0, Some(vec![])));
    }

    #[test]
    fn of_too_many_the_first_are_kept_and_it_begins_anew_when_all_are_stored() {
        let mut row = Retained::new(-1);
        (0..6).for_each(|at| row.push(delivery(at, 40), Instant::now(), 2 * ONE));
        assert_eq!((row.bytes(), row.unstored()), (2 * ONE, 6 * ONE));
        let following =
            |row: &Retained, off| row.following(off).iter().map(|delivery| delivery.offset).collect::<Vec<_>>();
        assert_eq!((following(&row, -1), following(&row, 0)), (vec![0, 1], vec![1]));
        assert_eq!(offsets(&row, -1), None);
        row.stored(3);
        row.push(delivery(6, 40), Instant::now(), 2 * ONE);
        assert_eq!((offsets(&row, 3), following(&row, 3)), (None, vec![]));
        row.stored(6);
        row.push(delivery(7, 40), Instant::now(), 2 * ONE);
        assert_eq!((offsets(&row, 6), row.unstored()), (Some(vec![7]), ONE));
        // Not before all that was left out.
        assert!(following(&row, 3).is_empty());
    }
}
