//! What Parlor's programs must agree on, pure: room ids, names in the broker, positions, the event envelope, the fold.
//! Nothing here does I/O or knows a client library.

pub mod event;
pub mod fold;
pub mod names;
pub mod position;
pub mod room;
pub mod standing;
pub mod username;
