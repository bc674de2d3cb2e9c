//! What this service speaks, for programs: OpenAPI made from the routes, AsyncAPI as it is checked in.

use crate::state::State;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};

/// The socket's protocol.
const ASYNCAPI: &str = include_str!("documents/asyncapi.json");

/// Every error (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemDocument {
    /// A URI that names the kind of problem.
    r#type: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable word, of a closed list.
    #[schema(example = "invalid")]
    code: String,
    /// A finer word.
    reason: Option<String>,
    /// This very problem, for people.
    detail: String,
}

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

/// Any call may be refused as a problem.
fn with_problems(mut document: OpenApi) -> OpenApi {
    let schema = Ref::from_schema_name("ProblemDocument");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let problem = ResponseBuilder::new()
        .description("A problem; `code` is the stable word.")
        .content("application/problem+json", content)
        .build();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
    document
}
