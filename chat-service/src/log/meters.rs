//! What the room logs measure. Handles are made once: these are counted for every event.

use metrics::{Counter, Gauge, Histogram};

/// All of them.
#[derive(Clone)]
pub(super) struct Meters {
    /// Events in each AMQP message that was published.
    pub(super) batch_events: Histogram,
    /// From handing over to reading back.
    pub(super) read_back: Histogram,
    /// Events that counted as they were read.
    pub(super) events: Counter,
    /// Copies that did not count: another stood before them.
    pub(super) void_duplicate: Counter,
    /// Events behind `closed`, or sent while the room was closed.
    pub(super) void_standing: Counter,
    /// Messages that are no envelope, or another room's or epoch's.
    pub(super) passed_by: Counter,
    /// Bytes of frames that are kept for those who come back.
    pub(super) ring_bytes: Gauge,
    /// Bytes read here and not yet stored by a historian.
    pub(super) unstored_bytes: Gauge,
    /// Rooms that have a reader.
    pub(super) rooms: Gauge,
    /// Subscriptions that did not keep up.
    pub(super) lagging: Counter,
    /// Attaches that were replayed, by source.
    pub(super) from_ring: Counter,
    pub(super) from_database: Counter,
    pub(super) from_stream: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        let replays = |source: &'static str| metrics::counter!("parlor_log_replay_pages_total", "source" => source);
        let void = |reason: &'static str| metrics::counter!("parlor_log_void_events_total", "reason" => reason);
        Self {
            batch_events: metrics::histogram!("parlor_log_batch_events"),
            read_back: metrics::histogram!("parlor_log_read_back_seconds"),
            events: metrics::counter!("parlor_log_events_total"),
            void_duplicate: void("duplicate"),
            void_standing: void("standing"),
            passed_by: metrics::counter!("parlor_log_passed_by_total"),
            ring_bytes: metrics::gauge!("parlor_log_ring_bytes"),
            unstored_bytes: metrics::gauge!("parlor_log_unstored_bytes"),
            rooms: metrics::gauge!("parlor_log_rooms"),
            lagging: metrics::counter!("parlor_log_lagging_total"),
            from_ring: replays("ring"),
            from_database: replays("database"),
            from_stream: replays("stream"),
        }
    }
}

/// An attach that did not succeed.
pub(super) fn attach_failed(reason: &'static str) {
    metrics::counter!("parlor_log_attach_failures_total", "reason" => reason).increment(1);
}

/// Messages of a log that are not to be had from its stream any more.
pub(super) fn lost(messages: u64) {
    metrics::counter!("parlor_log_lost_messages_total").increment(messages);
}
