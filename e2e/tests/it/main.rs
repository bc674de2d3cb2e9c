//! What people, manifests and other programs may rely on, over all programs together: started one by one on the run's servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod grpc;
mod logs;
mod manifests;
mod once;
mod outages;
mod refusals;
mod resume;
mod room;
mod rooms;
mod secrets;
