//! Positions in a room's log: `pos`, epochs, and their order. DESIGN section 2, "Position" and "Epoch".

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Most events in one AMQP message: an index must fit below one offset's step.
pub const MAX_BATCH_EVENTS: usize = 1024;
/// Most bytes of one AMQP message's body.
pub const MAX_BATCH_BYTES: usize = 128 * 1024;

const STEP: u64 = 1024;

/// `pos` of the event at `index` in the AMQP message at stream `offset`: `(offset + 1) * 1024 + index`.
/// 0 means before everything.
#[must_use]
pub fn pos(offset: u64, index: usize) -> u64 {
    (offset + 1) * STEP + u64::try_from(index).unwrap_or(STEP - 1).min(STEP - 1)
}

/// The stream offset that holds `pos`; `None` for positions before the first event.
#[must_use]
pub fn offset(pos: u64) -> Option<u64> {
    (pos / STEP).checked_sub(1)
}

/// The index of `pos` inside its AMQP message.
#[must_use]
pub fn index(pos: u64) -> usize {
    usize::try_from(pos % STEP).unwrap_or(0)
}

/// Name of one log of a room: `<ordinal>-<6 lower-case letters or digits>`, as `1-k3f9qa`. Never used twice.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Epoch {
    ordinal: u32,
    text: Box<str>,
}

/// A text that is not `<ordinal>-<6 lower-case letters or digits>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is `<number>-<6 lower-case letters or digits>`, as `1-k3f9qa`")]
pub struct NotAnEpoch;

impl Epoch {
    /// Letters and digits of an epoch's word.
    pub const WORD_CHARS: usize = 6;

    /// The epoch `ordinal` (from 1) with a random word.
    #[must_use]
    pub fn random(ordinal: u32, rng: &mut impl rand::Rng) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let word: String = (0..Self::WORD_CHARS)
            .map(|_| char::from(ALPHABET[usize::try_from(rng.next_u32() % 36).unwrap_or(0)]))
            .collect();
        Self { ordinal, text: format!("{ordinal}-{word}").into() }
    }

    /// Its number: later logs of the same room have higher ones.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// As written: `1-k3f9qa`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Epoch {
    type Err = NotAnEpoch;

    fn from_str(text: &str) -> Result<Self, NotAnEpoch> {
        let (number, word) = text.split_once('-').ok_or(NotAnEpoch)?;
        let ordinal: u32 = number.parse().map_err(|_| NotAnEpoch)?;
        let plain = word.len() == Self::WORD_CHARS
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if ordinal == 0 || !plain || number.starts_with(['+', '0']) {
            return Err(NotAnEpoch);
        }
        Ok(Self { ordinal, text: text.into() })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in a room's whole history: the order of all its events is (ordinal, pos).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPosition {
    /// Ordinal of the epoch; 0 stands for "before the room's first log".
    pub ordinal: u32,
    /// Position in that epoch; 0 is before its first event.
    pub pos: u64,
}

impl LogPosition {
    /// Before everything that ever happened in the room.
    pub const START: Self = Self { ordinal: 0, pos: 0 };

    /// `pos` in the epoch with this ordinal.
    #[must_use]
    pub fn new(ordinal: u32, pos: u64) -> Self {
        Self { ordinal, pos }
    }

    /// Whether knowledge that reaches back to `self` covers everything after `other`.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.cmp(&other) != Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_gives_back_its_offset_and_index(at in 0_u64..1 << 42, i in 0_usize..MAX_BATCH_EVENTS) {
            prop_assert_eq!(offset(pos(at, i)), Some(at));
            prop_assert_eq!(index(pos(at, i)), i);
            // A JavaScript number holds it.
            prop_assert!(pos(at, i) < 1 << 53);
        }

        #[test]
        fn positions_grow_with_offset_then_index(a in (0_u64..1000, 0_usize..MAX_BATCH_EVENTS), b in (0_u64..1000, 0_usize..MAX_BATCH_EVENTS)) {
            prop_assert_eq!(a.cmp(&b), pos(a.0, a.1).cmp(&pos(b.0, b.1)));
        }

        #[test]
        fn an_epoch_reads_as_it_is_written(ordinal in 1_u32.., word in "[a-z0-9]{6}") {
            let epoch: Epoch = format!("{ordinal}-{word}").parse().unwrap();
            prop_assert_eq!(epoch.ordinal(), ordinal);
            prop_assert_eq!(epoch.to_string().parse::<Epoch>(), Ok(epoch));
        }
    }

    #[test]
    fn zero_is_before_the_first_event() {
        assert_eq!(offset(0), None);
        assert_eq!(pos(0, 0), 1024);
    }

    #[test]
    fn wrong_epochs_are_refused() {
        for wrong in
            ["", "1", "1-", "0-abcdef", "01-abcdef", "+1-abcdef", "1-ABCDEF", "1-abcde", "1-abcdefg", "x-abcdef"]
        {
            assert_eq!(wrong.parse::<Epoch>(), Err(NotAnEpoch), "{wrong}");
        }
    }
}
