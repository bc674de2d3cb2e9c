//! The gRPC edge: `parlor.users.v1.Users`, health and reflection.

use anyhow::Context;
use axum::Router;
use proto::users::v1::users_server::UsersServer;
use service::health::Health;
use tonic::service::Routes;

use crate::state::App;
use users::Users;

mod authority;
mod revocations;
mod users;

/// Larger requests are refused: 500 names and ids fit many times.
const REQUEST_BYTES: usize = 256 * 1024;
/// Names of services whose health can be asked for; the empty one means all.
const NAMES: [&str; 2] = ["", "parlor.users.v1.Users"];

/// All services.
pub(crate) fn router(app: App, health: Health) -> anyhow::Result<Router> {
    let health_service = service::grpc::health_service(&NAMES, health, app.shutdown.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(NAMES[1])
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .build_v1()
        .context("failed to describe the gRPC services")?;
    let users = UsersServer::new(Users::new(app)).max_decoding_message_size(REQUEST_BYTES);
    Ok(Routes::new(users).add_service(health_service).add_service(reflection).into_axum_router())
}
