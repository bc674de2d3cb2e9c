//! All SQL of user-service: plain functions, checked at compile time.

pub(crate) mod invites;
pub(crate) mod names;
pub(crate) mod users;
