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
use std::time::Duration;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Messages are small; a page of history goes the other way.
const REQUEST_BYTES: usize = 256 * 1024;
/// How often gRPC's health follows ours.
const INTERVAL: Duration = Duration::from_secs(1);
/// Services whose health can be asked for; the empty name means all.
const NAMES: [&str; 3] = ["", "parlor.chat.v1.Messages", "parlor.chat.v1.RoomAdmin"];

/// All services.
pub(crate) fn router(state: State, health: Health, shutdown: Shutdown) -> anyhow::Result<Router> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(report(reporter, health, shutdown));
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

/// What `/readyz` says, for those who ask over gRPC.
async fn report(reporter: HealthReporter, health: Health, shutdown: Shutdown) {
    while !shutdown.is_begun() {
        let status = if health.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            reporter.set_service_status(name, status).await;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.begun() => {}
        }
    }
    for name in NAMES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
}
