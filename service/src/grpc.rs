//! What every gRPC port offers beside its services: health, which follows `/readyz`.

use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthServiceApi, HealthServer};
use tonic_health::server::HealthReporter;

use crate::health::Health;
use crate::shutdown::Shutdown;

/// How often gRPC's health follows ours.
const INTERVAL: Duration = Duration::from_secs(1);

/// `grpc.health.v1.Health` for the services with these `names`, of which the empty one means all. They serve while `health`
/// says ready, and no more once the shutdown has begun. Needs a runtime: a task of its own keeps them true.
pub fn health_service(
    names: &'static [&'static str],
    health: Health,
    shutdown: Shutdown,
) -> HealthServer<impl HealthServiceApi> {
    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(report(reporter, names, health, shutdown));
    service
}

/// What `/readyz` says, for those who ask over gRPC.
async fn report(reporter: HealthReporter, names: &[&str], health: Health, shutdown: Shutdown) {
    while !shutdown.is_begun() {
        let status = if health.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in names {
            reporter.set_service_status(name, status).await;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.begun() => {}
        }
    }
    for name in names {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
}
