//! The OpenAPI document, made from the routes themselves.

use axum::Router;
use axum::routing::get;
use service::openapi::{ProblemDocument, with_problems};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required};
use utoipa::{OpenApi as _, ToSchema};

/// A line of text that shows: what `accounts::fields` says, as a pattern.
#[derive(ToSchema)]
#[schema(
    max_length = 64,
    pattern = r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]+$",
    example = "Alice"
)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct Line(String);

/// An address of mail, likewise.
#[derive(ToSchema)]
#[schema(
    max_length = 254,
    pattern = r"^[^\s@\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+@[^\s@.\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+(\.[^\s@.\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+)*$",
    example = "alice@example.com"
)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct Email(String);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Parlor user-service", description = "Accounts, tokens and sessions.", license(name = "Apache-2.0")),
    tags(
        (name = "sign in", description = "From nobody to somebody and back."),
        (name = "me", description = "The caller's account and sessions."),
        (name = "keys", description = "What tokens are verified with."),
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
    components
        .add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("parlor_refresh"))));
    document
}

/// Serves the document, also where an ingress shares one host name between the services.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(document: OpenApi) -> Router<S> {
    let document = axum::Json(with_optional_refresh(with_problems(document)));
    let serve = move || {
        let document = document.clone();
        async move { document }
    };
    Router::new().route("/openapi.json", get(serve.clone())).route("/users/openapi.json", get(serve))
}

/// One body may be absent, which its description cannot say where it stands.
fn with_optional_refresh(mut document: OpenApi) -> OpenApi {
    let refresh = document.paths.paths.get_mut("/v1/refresh").and_then(|item| item.post.as_mut());
    if let Some(RefOr::T(body)) = refresh.and_then(|operation| operation.request_body.as_mut()) {
        body.required = Some(Required::False);
    }
    document
}
