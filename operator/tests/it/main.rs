//! The operator's program with the real chat-service, RabbitMQ and PostgreSQL: drift, outages, conflicts, withdrawal.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod conflicts;
mod definitions;
mod deletion;
mod drift;
mod folder;
mod kubernetes;
mod outages;
mod util;
