//! The HTTP edge: routes, who may ask from a browser, and the document that describes it all.

use axum::Router;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

mod address;
mod answers;
mod caller;
mod cookie;
mod jwks;
mod login;
mod logout;
mod me;
mod openapi;
mod password;
mod refresh;
mod register;
mod sessions;

/// All routes with their layers.
pub(crate) fn router(app: App) -> Router {
    let cors = cors(&app.edge.allowed_origins);
    let (router, document) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(me::show, me::change))
        .routes(routes!(password::change))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(jwks::keys))
        .with_state(app)
        .split_for_parts();
    service::http::finish(router.merge(openapi::routes(document))).layer(cors)
}

/// Only the web clients named on the command line, with their cookies.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(Duration::from_hours(1))
}
