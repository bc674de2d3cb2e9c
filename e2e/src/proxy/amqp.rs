//! Reads AMQP 0.9.1 frames of a client as they pass, just enough to tell a connection that consumes from one that publishes.

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
const BASIC_CONSUME: [u8; 4] = [0, 60, 0, 20];
const BASIC_PUBLISH: [u8; 4] = [0, 60, 0, 40];
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
        let mut at = 0;
        while let Some(head) = self.left.get(at..at + HEAD_BYTES) {
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let end = at + HEAD_BYTES + size;
            // With the mark at its end: else that would be taken for the next frame's first byte.
            let (Some(payload), true) = (self.left.get(at + HEAD_BYTES..end), self.left.len() > end) else { break };
            if head[0] == METHOD_FRAME
                && let Some(method) = payload.first_chunk::<4>()
            {
                tell(*method, &short_string(payload.get(6..).unwrap_or_default()));
            }
            at = end + 1;
        }
        self.left.drain(..at);
    }
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
        let mut bytes = vec![METHOD_FRAME, 0, 1];
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
}
