//! All SQL of chat-service, one file per table group.

pub(crate) mod admin;
pub(crate) mod append;
pub(crate) mod closing;
pub(crate) mod epochs;
pub(crate) mod feed;
pub(crate) mod gateways;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod names;
pub(crate) mod outbox;
pub(crate) mod partitions;
pub(crate) mod read_pointers;
pub(crate) mod retention;
pub(crate) mod rooms;
