//! The last frames of a room, bounded in bytes, for those who come back. Pure.

use crate::log::frame::Frame;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a frame costs beside its bytes.
const OVERHEAD: usize = 112;

/// Consecutive frames of one epoch up to what was read: every counted event above the floor is here.
#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    most_bytes: usize,
    floor: u64,
}

/// Some of them.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// In order.
    pub(super) frames: Vec<Arc<Frame>>,
    /// Others follow.
    pub(super) more: bool,
}

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimit {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// What a frame counts for in a bound.
pub(super) fn cost(frame: &Frame) -> usize {
    frame.push.len() + OVERHEAD
}

impl Ring {
    /// Empty, at a position.
    pub(super) fn new(floor: u64, most_bytes: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, most_bytes, floor }
    }

    /// Whether everything after `pos` is here.
    pub(super) fn covers(&self, pos: u64) -> bool {
        pos >= self.floor
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next frame.
    pub(super) fn push(&mut self, frame: Arc<Frame>) {
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
        while self.bytes > self.most_bytes
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= cost(&oldest);
            self.floor = oldest.at.pos;
        }
    }

    /// Older frames, down to `floor`, as far as half of the bound allows: the other half is for what comes.
    pub(super) fn prepend(&mut self, older: Vec<Arc<Frame>>, floor: u64) {
        for frame in older.into_iter().rev().filter(|frame| frame.at.pos <= self.floor) {
            let with = self.bytes + cost(&frame);
            if with > self.most_bytes / 2 {
                self.floor = frame.at.pos;
                return;
            }
            self.bytes = with;
            self.frames.push_front(frame);
        }
        self.floor = floor.min(self.floor);
    }

    /// What was read is not consecutive, or of another epoch: nothing up to `floor` is here.
    pub(super) fn restart(&mut self, floor: u64) {
        *self = Self::new(floor, self.most_bytes);
    }

    /// The frames after `pos`, as many as fit, at least one; `None` if not all of them are here.
    pub(super) fn page(&self, pos: u64, limit: PageLimit) -> Option<Page> {
        if !self.covers(pos) {
            return None;
        }
        let start = self.frames.partition_point(|frame| frame.at.pos <= pos);
        Some(page(self.frames.range(start..), limit))
    }
}

/// As many of `frames` as fit, at least one.
pub(super) fn page<'a>(frames: impl Iterator<Item = &'a Arc<Frame>>, limit: PageLimit) -> Page {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for frame in frames {
        bytes += frame.push.len() + 1;
        if taken.len() == limit.events || (bytes > limit.bytes && !taken.is_empty()) {
            return Page { frames: taken, more: true };
        }
        taken.push(frame.clone());
    }
    Page { frames: taken, more: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::position::LogPosition;
    use proptest::prelude::*;

    fn frame(pos: u64, size: usize) -> Arc<Frame> {
        Arc::new(Frame { at: LogPosition::new(1, pos), push: vec![b'x'; size].into(), notice: None })
    }

    proptest! {
        #[test]
        fn what_the_ring_gives_is_exactly_what_was_pushed_after_a_position(
            sizes in prop::collection::vec(1_usize..400, 0..60), most in 200_usize..6_000,
            events in 1_usize..9, bytes in 1_usize..900, asked in 0_u64..70,
        ) {
            let mut ring = Ring::new(0, most);
            let all: Vec<_> = sizes.iter().enumerate().map(|(i, size)| frame(i as u64 + 1, *size)).collect();
            for frame in &all {
                ring.push(frame.clone());
            }
            prop_assert!(ring.bytes() <= most);
            let limit = PageLimit { events, bytes };
            let Some(mut page) = ring.page(asked, limit) else {
                prop_assert!(asked < ring.floor());
                return Ok(());
            };
            let mut got = Vec::new();
            loop {
                prop_assert!(page.frames.len() <= events);
                prop_assert!(page.frames.len() <= 1 || page.frames.iter().map(|frame| frame.push.len() + 1).sum::<usize>() <= bytes);
                got.extend(page.frames.iter().map(|frame| frame.at.pos));
                if !page.more {
                    break;
                }
                page = ring.page(*got.last().unwrap(), limit).unwrap();
            }
            let expected: Vec<u64> = all.iter().map(|frame| frame.at.pos).filter(|pos| *pos > asked).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn older_frames_put_before_it_leave_no_hole(
            begin in 0_u64..30, newer in prop::collection::vec(1_usize..400, 0..30), most in 500_usize..9_000,
        ) {
            let mut ring = Ring::new(begin, most);
            for (i, size) in newer.iter().enumerate() {
                ring.push(frame(begin + i as u64 + 1, *size));
            }
            let before = ring.floor();
            let older: Vec<_> = (1..=before).map(|pos| frame(pos, 100 + usize::try_from(pos).unwrap() % 50)).collect();
            ring.prepend(older, 0);
            prop_assert!(ring.floor() <= before && ring.bytes() <= most);
            let page = ring.page(ring.floor(), PageLimit { events: 100, bytes: 1 << 20 }).unwrap();
            let got: Vec<u64> = page.frames.iter().map(|frame| frame.at.pos).collect();
            let expected: Vec<u64> = (ring.floor() + 1..=begin + newer.len() as u64).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
