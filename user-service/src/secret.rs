//! Text that no log line, error message or debug output may hold: passwords and tokens. It has neither `Debug` nor `Display`.

use serde::Deserialize;

/// A password or a token.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Wraps it.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for hashing, verifying and answering.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}
