//! Reads the heads of HTTP/1.1 requests as they pass, so that a test can count what a program asks.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::lock;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When its head was complete.
    pub at: Instant,
    /// `GET`, …; `?` if the stream could not be understood from here on.
    pub method: String,
    /// Path and query.
    pub path: String,
}

/// An observer that adds to `requests`.
pub(super) fn observer(requests: Arc<Mutex<Vec<Request>>>) -> impl FnMut(&[u8]) + Send {
    let mut parser = Parser::default();
    move |bytes| {
        parser.take(bytes, |method, path| {
            let request = Request { at: Instant::now(), method: method.to_owned(), path: path.to_owned() };
            lock(&requests).push(request);
        });
    }
}

/// Bytes of a head that is not complete, and of a body that still comes.
#[derive(Default)]
struct Parser {
    head: Vec<u8>,
    body_left: usize,
    lost: bool,
}

impl Parser {
    fn take(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&str, &str)) {
        while !bytes.is_empty() && !self.lost {
            let skipped = self.body_left.min(bytes.len());
            self.body_left -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return };
            self.head.push(*first);
            bytes = rest;
            if self.head.ends_with(b"\r\n\r\n") {
                self.read_head(&mut tell);
                self.head.clear();
            }
        }
    }

    fn read_head(&mut self, tell: &mut impl FnMut(&str, &str)) {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or("?"), words.next().unwrap_or("?"));
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                self.body_left = value.trim().parse().unwrap_or(0);
            }
            // A body of unknown length: what follows can no longer be told apart.
            self.lost |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        tell(if self.lost { "?" } else { method }, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_the_bytes_are_cut() {
        let text =
            b"PUT /api/queues/x HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET GET /api/y?z=1 HTTP/1.1\r\nHost: h\r\n\r\n";
        for size in [1, 5, text.len()] {
            let (mut parser, mut found) = (Parser::default(), Vec::new());
            for piece in text.chunks(size) {
                parser.take(piece, |method, path| found.push(format!("{method} {path}")));
            }
            assert_eq!(found, ["PUT /api/queues/x", "GET /api/y?z=1"]);
        }
    }
}
