//! What the web client has to know before anybody is signed in.

use crate::state::State;
use axum::extract;
use serde::Serialize;
use service::extract::Json;
use utoipa::ToSchema;

/// Where the other half is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Config {
    /// user-service, as browsers reach it.
    users_url: String,
    /// Of this program.
    version: &'static str,
}

/// Where user-service is.
#[utoipa::path(get, path = "/v1/config", tag = "documents", responses((status = OK, body = Config)))]
pub(crate) async fn config(extract::State(state): extract::State<State>) -> Json<Config> {
    Json(Config { users_url: state.settings.users_url.clone(), version: env!("CARGO_PKG_VERSION") })
}
