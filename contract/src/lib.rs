//! What Parlor's programs must agree on, pure: today the rule for usernames.
//! Nothing here does I/O or knows a client library.

pub mod username;
