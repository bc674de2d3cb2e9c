//! chat-service from outside: the built program with its real neighbours, over HTTP, the socket and gRPC, each test with data of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod documents;
mod ending;
mod operator;
mod people;
mod room_admin;
mod talking;
mod unread;
mod util;
