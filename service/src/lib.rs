//! How every Parlor program starts, answers, limits and stops. Nothing here knows a room, a person or a message.

pub mod cache;
pub mod clock;
pub mod database;
pub mod extract;
pub mod grpc;
pub mod health;
pub mod http;
pub mod limits;
pub mod openapi;
pub mod probe;
pub mod problem;
pub mod retry;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
