//! What all keys of user-service in Redis begin with.

/// The part in braces is what a Redis cluster hashes: one script touches several keys, so they live in one slot.
pub(crate) const STEM: &str = "parlor:{users}";
