//! chat-service from outside: the built program with its real neighbours, over HTTP, the socket and gRPC, each test with data of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod documents;
mod ending;
mod limits;
mod operator;
mod outages;
mod people;
mod room_admin;
mod rooms;
mod talking;
mod unread;
mod util;
