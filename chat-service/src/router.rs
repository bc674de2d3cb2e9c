//! The HTTP routes, and the OpenAPI document that is made from them.

use crate::error::Refused;
use crate::http::{config, documents, echo, members, messages, rooms, socket, unbuilt, web};
use crate::state::State;
use axum::Router;
use axum::extract::{self, Request};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use service::problem::Problem;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Longer than anything that is in order: a send waits for a reader and for the log.
const LIMIT: Duration = Duration::from_secs(20);

/// Everything that is served over HTTP.
pub(crate) fn router(state: State) -> Router {
    let (described, document) = OpenApiRouter::with_openapi(documents::base())
        .routes(routes!(rooms::all))
        .routes(routes!(rooms::one))
        .routes(routes!(rooms::join))
        .routes(routes!(rooms::leave))
        .routes(routes!(members::page))
        .routes(routes!(messages::page, messages::post))
        .routes(routes!(config::config))
        .routes(routes!(socket::open))
        .split_for_parts();
    let mut router = described
        .merge(documents::routes(document))
        .route("/v1/rooms/{namespace}/{name}/uploads", post(unbuilt::uploads))
        .route("/v1/uploads/{id}", get(unbuilt::uploads))
        .route("/v1/uploads/{id}/content", get(unbuilt::uploads))
        .route("/v1/uploads/{id}/thumbnail", get(unbuilt::uploads))
        .route("/v1/rooms/{namespace}/{name}/notifications", put(unbuilt::notifications));
    if state.settings.echo {
        router = router.route("/v1/echo", any(echo::open));
    }
    let router = router.fallback(client).layer(from_fn(limit)).with_state(state);
    service::http::finish(router)
}

/// No request waits for ever, also where PostgreSQL is frozen and answers nothing.
async fn limit(request: Request, next: Next) -> Response {
    let late = || Problem::from(Refused::Unavailable("timeout")).into_response();
    timeout(LIMIT, next.run(request)).await.unwrap_or_else(|_| late())
}

async fn client(
    extract::State(state): extract::State<State>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> axum::response::Response {
    web::serve(&state.settings, &method, &uri, &headers)
}
