//! gRPC edge: parse, call, reply. Assembles all services with health and reflection.

mod following;
pub(crate) mod messages;
pub(crate) mod room_admin;

use crate::state::State;
use anyhow::Context as _;
use axum::Router;
use proto::chat::v1::messages_server::MessagesServer;
use service::health::Health;
use service::shutdown::Shutdown;
use tonic::service::Routes;

/// Messages are small; a page of history goes the other way.
const REQUEST_BYTES: usize = 256 * 1024;
/// Services whose health can be asked for; the empty name means all.
const NAMES: [&str; 3] = ["", "parlor.chat.v1.Messages", "parlor.chat.v1.RoomAdmin"];

/// All services.
pub(crate) fn router(state: State, health: Health, shutdown: Shutdown) -> anyhow::Result<Router> {
    let health_service = service::grpc::health_service(&NAMES, health, shutdown);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(NAMES[1])
        .with_service_name(NAMES[2])
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .build_v1()
        .context("failed to describe the gRPC services")?;
    let messages = MessagesServer::new(messages::Messages::new(state.clone())).max_decoding_message_size(REQUEST_BYTES);
    Ok(Routes::new(messages)
        .add_service(room_admin::service(state))
        .add_service(health_service)
        .add_service(reflection)
        .into_axum_router())
}
