//! The outermost layers of every HTTP edge: the access log, panics and bare errors as problems, limits of bodies.

use std::any::Any;
use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::problem::{Code, Problem};

/// Bodies are small unless a route says otherwise with a `DefaultBodyLimit` of its own.
const BODY_BYTES: usize = 1024 * 1024;

/// Wraps all routes of `router`, its fallback included: add nothing behind it. Not for gRPC, which has its own errors.
pub fn finish(router: Router) -> Router {
    router
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(problems))
        .layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static("x-content-type-options"),
            HeaderValue::from_static("nosniff"),
        ))
        .layer(from_fn(log))
}

/// The panic itself is already in the log; the client learns nothing of it.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::new(Code::Internal, "this is a mistake of the server").into_response()
}

/// Errors that a handler or axum gave without a body (no route, a wrong method) get one.
async fn problems(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let answer = next.run(request).await;
    let status = answer.status();
    let bare = !answer.headers().contains_key(header::CONTENT_TYPE);
    if !bare || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let Some(problem) = bare_problem(status, &method) else { return answer };
    let mut told = problem.with_status(status);
    // Among them `Allow` of a 405.
    for (name, value) in answer.headers() {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            told.headers_mut().insert(name, value.clone());
        }
    }
    told
}

fn bare_problem(status: StatusCode, method: &Method) -> Option<Problem> {
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::new(Code::NotFound, "there is nothing here"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::Invalid, format!("{method} is not possible here")).reason("method_not_allowed")
        }
        StatusCode::UNAUTHORIZED => Problem::new(Code::Unauthenticated, "sign in first"),
        StatusCode::FORBIDDEN => Problem::new(Code::Forbidden, "this is not allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, "the body is larger than is allowed here"),
        StatusCode::INTERNAL_SERVER_ERROR => Problem::new(Code::Internal, "this is a mistake of the server"),
        StatusCode::SERVICE_UNAVAILABLE => Problem::new(Code::Unavailable, "this is not possible at the moment"),
        _ => return None,
    };
    Some(problem)
}

/// Longest part of a path that the log shows: names have at most 63 bytes. What is longer may be a token that somebody pasted there.
const LONGEST_PART: usize = 64;

fn shown_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').map(|part| if part.len() > LONGEST_PART { "…" } else { part }).collect();
    parts.join("/")
}

/// One line a request. Never a query, a header or a body: they hold passwords, tokens and what people say.
async fn log(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = shown_path(request.uri().path());
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string());
    let answer = next.run(request).await;
    let seconds = start.elapsed().as_secs_f64();
    let status = answer.status();

    // Paths and methods are what anybody sends; as labels they would grow without a bound.
    let route = route.unwrap_or_else(|| "none".to_owned());
    let method_label = if is_usual(&method) { method.to_string() } else { "other".to_owned() };
    let labels = [("method", method_label), ("route", route), ("status", status.as_u16().to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_seconds", &labels[..2]).record(seconds);

    let (status, milliseconds, peer) = (status.as_u16(), seconds * 1000.0, peer.unwrap_or_default());
    if status >= 500 {
        tracing::warn!(target: "access", %method, path, status, milliseconds, peer);
    } else {
        tracing::info!(target: "access", %method, path, status, milliseconds, peer);
    }
    answer
}

fn is_usual(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tower::ServiceExt;
    use tracing_subscriber::fmt::MakeWriter;

    fn broken() -> Response {
        panic!("a handler's mistake")
    }

    fn router() -> Router {
        let routes = Router::new()
            .route("/rooms/{name}", get(async || "here"))
            .route("/broken", get(async || broken()))
            .route("/plain", get(async || (StatusCode::NOT_FOUND, "in words of its own")));
        finish(routes)
    }

    async fn ask(method: &str, path: &str) -> (u16, axum::http::HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from("secret-body")).unwrap();
        let answer = router().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn bare_errors_and_panics_become_problems() {
        for (method, path, status, code) in [
            ("GET", "/nowhere", 404, "not_found"),
            ("POST", "/rooms/a", 405, "invalid"),
            ("GET", "/broken", 500, "internal"),
        ] {
            let (got, headers, body) = ask(method, path).await;
            assert_eq!(got, status, "{method} {path}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(body.contains(&format!(r#""code":"{code}""#)), "{body}");
            assert!(!body.contains("a handler's mistake"));
        }
        let (_, headers, _) = ask("POST", "/rooms/a").await;
        assert_eq!(headers["allow"], "GET,HEAD");
    }

    #[tokio::test]
    async fn what_has_a_body_keeps_it() {
        assert_eq!(ask("GET", "/rooms/a").await.2, "here");
        assert_eq!(ask("GET", "/plain").await.2, "in words of its own");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn the_log_names_the_path_and_nothing_secret() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(lines.clone())
            .with_max_level(tracing::Level::TRACE)
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let request = Request::get("/rooms/a?token=secret-query").header("authorization", "Bearer secret-header");
        router().oneshot(request.body(Body::from("secret-body")).unwrap()).await.unwrap();
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("/rooms/a") && text.contains("status=200"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
