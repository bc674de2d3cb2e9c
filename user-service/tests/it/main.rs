//! user-service over its own interfaces: the built program, real PostgreSQL and Redis, each test with data of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails where something is wrong")]

mod accounts;
mod browser;
mod grpc;
mod health;
mod keys;
mod limits;
mod names;
mod outages;
mod refusals;
mod registration;
mod revocations;
mod secrecy;
mod sessions;
mod standalone;
mod timing;
mod util;
