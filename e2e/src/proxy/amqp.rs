//! Reads AMQP 0.9.1 frames as they pass: a client's, just enough to tell a connection that consumes from one that publishes; a
//! server's, to take messages out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::link::Link;

/// What a connection was seen to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Queues for which it sent `basic.consume`.
    pub consumes: BTreeSet<String>,
    /// Exchanges to which it sent `basic.publish`.
    pub publishes: BTreeSet<String>,
    /// How many messages it published.
    pub published: u64,
}

impl Seen {
    /// It reads a room's log.
    pub fn reads_logs(&self) -> bool {
        self.consumes.iter().any(|queue| queue.starts_with("parlor.log."))
    }

    /// It publishes to rooms' logs.
    pub fn writes_logs(&self) -> bool {
        self.publishes.contains("parlor.rooms")
    }
}

const METHOD_FRAME: u8 = 1;
const HEADER_FRAME: u8 = 2;
const BODY_FRAME: u8 = 3;
const BASIC_CONSUME: [u8; 4] = [0, 60, 0, 20];
const BASIC_PUBLISH: [u8; 4] = [0, 60, 0, 40];
const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];
/// `AMQP` and the version, once.
const GREETING_BYTES: usize = 8;
/// Type, channel, size; and the mark at the end.
const HEAD_BYTES: usize = 7;

/// An observer that notes on `link` what it sees.
pub(super) fn observer(link: Arc<Link>) -> impl FnMut(&[u8]) + Send {
    let mut frames = Frames::default();
    move |bytes| frames.take(bytes, |method, name| link.note(|seen| note(seen, method, name)))
}

fn note(seen: &mut Seen, method: [u8; 4], name: &str) {
    match method {
        BASIC_CONSUME => {
            seen.consumes.insert(name.to_owned());
        }
        BASIC_PUBLISH => {
            seen.published += 1;
            if !seen.publishes.contains(name) {
                seen.publishes.insert(name.to_owned());
            }
        }
        _ => {}
    }
}

/// Bytes that are no whole frame yet.
#[derive(Default)]
struct Frames {
    greeted: bool,
    left: Vec<u8>,
}

impl Frames {
    /// Tells of each method frame: class and method, and the first name in it, which stands behind a reserved short.
    fn take(&mut self, bytes: &[u8], mut tell: impl FnMut([u8; 4], &str)) {
        self.left.extend_from_slice(bytes);
        if !self.greeted {
            if self.left.len() < GREETING_BYTES {
                return;
            }
            self.left.drain(..GREETING_BYTES);
            self.greeted = true;
        }
        while let Some(frame) = whole(&mut self.left) {
            if let Some(method) = frame.method() {
                tell(method, &short_string(frame.payload().get(6..).unwrap_or_default()));
            }
        }
    }
}

/// Takes deliveries out of what a server sends, whole.
#[derive(Default)]
pub(super) struct Sieve {
    left: Vec<u8>,
    /// Channels whose header and body frames belong to a delivery that was taken out.
    taken: BTreeSet<[u8; 2]>,
}

impl Sieve {
    /// What of `bytes`, and of those before it, goes on.
    pub(super) fn pass(&mut self, bytes: &[u8], deliveries: bool) -> Vec<u8> {
        self.left.extend_from_slice(bytes);
        let mut passing = Vec::with_capacity(self.left.len());
        while let Some(frame) = whole(&mut self.left) {
            if let Some(method) = frame.method() {
                self.taken.remove(&frame.channel());
                if method == BASIC_DELIVER && !deliveries {
                    self.taken.insert(frame.channel());
                }
            }
            let content = matches!(frame.0[0], METHOD_FRAME | HEADER_FRAME | BODY_FRAME);
            if !(content && self.taken.contains(&frame.channel())) {
                passing.extend(frame.0);
            }
        }
        passing
    }
}

/// A frame from its type to the mark at its end.
struct Frame(Vec<u8>);

impl Frame {
    fn channel(&self) -> [u8; 2] {
        [self.0[1], self.0[2]]
    }

    fn payload(&self) -> &[u8] {
        &self.0[HEAD_BYTES..self.0.len() - 1]
    }

    fn method(&self) -> Option<[u8; 4]> {
        (self.0[0] == METHOD_FRAME).then(|| self.payload().first_chunk().copied()).flatten()
    }
}

/// The first frame of `bytes`, if all of it is there.
fn whole(bytes: &mut Vec<u8>) -> Option<Frame> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    // With the mark at its end: else that would be taken for the next frame's first byte.
    let end = HEAD_BYTES + size + 1;
    (bytes.len() >= end).then(|| Frame(bytes.drain(..end).collect()))
}

fn short_string(bytes: &[u8]) -> String {
    let length = bytes.first().copied().unwrap_or(0) as usize;
    String::from_utf8_lossy(bytes.get(1..=length).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(method: [u8; 4], name: &str) -> Vec<u8> {
        let mut payload = method.to_vec();
        payload.extend([0, 0, u8::try_from(name.len()).unwrap()]);
        payload.extend(name.as_bytes());
        payload.extend([0, 0]);
        of(METHOD_FRAME, 1, &payload)
    }

    fn of(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, channel];
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes.push(0xCE);
        bytes
    }

    #[test]
    fn methods_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"AMQP\x00\x00\x09\x01".to_vec();
        bytes.extend(frame(BASIC_CONSUME, "parlor.log.standard.a.b.1-abcdef"));
        bytes.extend(frame(BASIC_PUBLISH, "parlor.rooms"));
        for size in [1, 3, 7, bytes.len()] {
            let (mut frames, mut seen) = (Frames::default(), Seen::default());
            for piece in bytes.chunks(size) {
                frames.take(piece, |method, name| note(&mut seen, method, name));
            }
            assert!(seen.reads_logs() && seen.writes_logs(), "{seen:?}");
            assert_eq!(seen.published, 1);
        }
    }
    #[test]
    fn deliveries_are_taken_out_whole_and_nothing_else_is() {
        const CONSUME_OK: [u8; 4] = [0, 60, 0, 21];
        let delivery = [of(METHOD_FRAME, 1, &BASIC_DELIVER), of(HEADER_FRAME, 1, b"head")].concat();
        let body = of(BODY_FRAME, 1, b"body");
        let others = [of(METHOD_FRAME, 2, &CONSUME_OK), of(8, 0, b""), of(BODY_FRAME, 2, b"got")].concat();
        let after = of(METHOD_FRAME, 1, &CONSUME_OK);
        let bytes = [&delivery[..], &others, &body, &after].concat();
        for size in [1, 5, bytes.len()] {
            let sifted = |deliveries: bool| {
                let mut sieve = Sieve::default();
                bytes.chunks(size).flat_map(|piece| sieve.pass(piece, deliveries)).collect::<Vec<_>>()
            };
            assert_eq!(sifted(true), bytes);
            assert_eq!(sifted(false), [&others[..], &after].concat());
        }
    }
}
