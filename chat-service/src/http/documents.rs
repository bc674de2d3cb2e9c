//! What this service speaks, for programs: OpenAPI made from the routes, AsyncAPI as it is checked in.

use crate::state::State;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use service::openapi::{ProblemDocument, with_problems};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// The socket's protocol.
const ASYNCAPI: &str = include_str!("documents/asyncapi.json");

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Parlor chat-service", description = "Rooms and messages. The socket is described at /asyncapi.json.",
        license(name = "Apache-2.0")),
    tags(
        (name = "rooms", description = "Rooms of the caller, and who is in them."),
        (name = "messages", description = "History and sending."),
        (name = "socket", description = "Live events and everything else, described at /asyncapi.json."),
        (name = "documents", description = "What a client has to know."),
    ),
    components(schemas(ProblemDocument)),
)]
struct Base;

/// What the routes do not say.
pub(crate) fn base() -> OpenApi {
    let mut document = Base::openapi();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}

/// Serves both documents.
pub(crate) fn routes(document: OpenApi) -> Router<State> {
    let document = axum::Json(with_problems(document));
    let openapi = move || {
        let document = document.clone();
        async move { document }
    };
    let asyncapi = async || ([(CONTENT_TYPE, "application/json")], ASYNCAPI);
    Router::new().route("/openapi.json", get(openapi)).route("/asyncapi.json", get(asyncapi))
}
