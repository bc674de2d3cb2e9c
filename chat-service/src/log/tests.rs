//! The room log against a real broker and a real PostgreSQL, by two gateways of one process, each with its own connections.

mod append;
mod chaos;
mod epochs;
mod faults;
mod kit;
mod replay;
