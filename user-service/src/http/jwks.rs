//! `GET /.well-known/jwks.json`: the public keys.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;

use crate::state::App;

/// All keys that tokens may be signed with (RFC 7517), the one in use among them.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "list_keys",
    tag = "keys",
    responses((status = 200, description = "A JSON Web Key Set.", body = serde_json::Value))
)]
pub(crate) async fn keys(State(app): State<App>) -> impl IntoResponse {
    // Short, so that a new key is known before long; verifiers ask again at once for one they do not know.
    ([(CACHE_CONTROL, "public, max-age=30")], axum::Json(app.keys.jwks()))
}
