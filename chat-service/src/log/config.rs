//! Limits of the room logs. Tests set smaller ones.

use std::time::Duration;

/// What a gateway allows itself and its rooms.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Frames that a room keeps for those who come back.
    pub(crate) ring_bytes: usize,
    /// A room that nobody uses is closed after this.
    pub(crate) linger: Duration,
    /// Sending stops when the historian is so far behind in a room, or by half of what its log keeps.
    pub(crate) behind_bytes: usize,
    /// The same by age.
    pub(crate) behind_age: Duration,
    /// Bytes beyond the stored positions of all rooms together: more, and the rooms that hold them stop sending.
    pub(crate) behind_bytes_total: usize,
    /// Keys that a room remembers beyond those that it must.
    pub(crate) keys: usize,
    /// Messages of one stream on their way to here; each has at most 128 KiB.
    pub(crate) prefetch: u16,
    /// How often the rows of open rooms are read.
    pub(crate) poll: Duration,
    /// A page of a replay.
    pub(crate) page_events: usize,
    /// The same in bytes.
    pub(crate) page_bytes: usize,
    /// Streams read for a replay at once.
    pub(crate) replays: usize,
    /// Offsets further back than this are not replayed.
    pub(crate) replay_offsets: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ring_bytes: 1024 * 1024,
            linger: Duration::from_mins(1),
            behind_bytes: 64 * 1024 * 1024,
            behind_age: Duration::from_hours(12),
            behind_bytes_total: 512 * 1024 * 1024,
            keys: 50_000,
            prefetch: 32,
            poll: Duration::from_secs(2),
            page_events: 500,
            page_bytes: 256 * 1024,
            replays: 4,
            replay_offsets: 50_000,
        }
    }
}

/// A send waits so long for an anchored reader, and so long again for its read-back.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(5);
/// A command older than this is not handed to the broker's client.
pub(super) const COMMAND_AGE: Duration = Duration::from_secs(10);
/// A subscription waits so long for a reader.
pub(super) const JOIN_LIMIT: Duration = Duration::from_secs(5);
/// A subscription waits so long until this gateway has read up to the client's position.
pub(super) const REACH_LIMIT: Duration = Duration::from_secs(2);
/// No first message in this time: find out why.
pub(super) const ANCHOR_LIMIT: Duration = Duration::from_secs(5);
/// Memory has to reach back so far to decide alone about a fresh id.
pub(super) const RECALL: Duration = Duration::from_mins(15);
/// An id is fresh if its own time is within this of now.
pub(super) const FRESH: Duration = Duration::from_mins(5);
/// Commands of one room that wait for its task.
pub(super) const COMMANDS: usize = 4096;
/// Bytes of drafts that wait in one room.
pub(super) const WAITING_BYTES: usize = 8 * 1024 * 1024;
