//! The web client: its files are part of the program. A program that was built without them says how to get them.

use crate::state::Settings;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use service::problem::{Code, Problem};
use std::fmt::Write as _;

/// What `cargo xtask up` builds from `web/`.
#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";
/// Files whose names change with their contents are in this folder.
const HASHED: &str = "assets/";
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Parlor</title>\n\
    <h1>Parlor</h1>\n<p>The web client is not part of this build. <code>cargo xtask up</code> builds it and starts everything.</p>\n</html>\n";

/// Everything that is no call: a file of the client, or for a page the client itself, which knows what to show.
pub(crate) fn serve(settings: &Settings, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("v1/") || !(*method == Method::GET || *method == Method::HEAD) {
        return nothing_here();
    }
    if let Some(file) = Files::get(path).filter(|_| !path.is_empty()) {
        return answer(settings, path, file, headers);
    }
    if path != INDEX && !path.is_empty() && !is_page(path, headers) {
        return nothing_here();
    }
    match Files::get(INDEX) {
        Some(file) => answer(settings, INDEX, file, headers),
        None => page(settings, NOT_BUILT.into(), headers),
    }
}

/// Addresses inside the client have no ending and are asked for by people.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    !name.contains('.') && accepts.contains("text/html")
}

fn answer(settings: &Settings, path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = tag(&file);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let unchanged = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut answer = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else if path == INDEX {
        page(settings, file.data.into_owned().into(), headers)
    } else {
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let mut answer = Response::new(Body::from(file.data.into_owned()));
        if let Ok(kind) = HeaderValue::from_str(kind.as_ref()) {
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        answer
    };
    let cached = if path.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN };
    answer.headers_mut().insert(header::CACHE_CONTROL, cached);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

fn tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        // Writing to a string cannot fail.
        write!(tag, "{byte:02x}").ok();
    }
    tag.push('"');
    tag
}

/// HTML, with what it may load: nothing from elsewhere, no script or style in the page itself.
fn page(settings: &Settings, body: Body, asked: &HeaderMap) -> Response {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    if let Ok(policy) = HeaderValue::from_str(&policy(settings, asked)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// The socket of this host by name, for browsers to whom `'self'` does not mean it. user-service may be elsewhere.
fn policy(settings: &Settings, asked: &HeaderMap) -> String {
    let plain = |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let host = asked.get(header::HOST).and_then(|host| host.to_str().ok()).filter(plain);
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
         media-src 'self' blob:; connect-src 'self'{sockets} {}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        origin(&settings.users_url)
    )
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

fn nothing_here() -> Response {
    Problem::new(Code::NotFound, "there is nothing here").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { users_url: "http://localhost:8081/users".into(), rate_limits: true, echo: false }
    }

    fn get(path: &str, accept: &'static str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
        serve(&settings(), &Method::GET, &path.parse().unwrap(), &headers)
    }

    #[test]
    fn a_page_may_load_nothing_from_elsewhere_and_no_inline_script() {
        let answer = get("/", "text/html");
        assert_eq!(answer.status(), 200);
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("connect-src 'self' ws://localhost:8080 wss://localhost:8080 http://localhost:8081;"),
            "{policy}"
        );
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn an_address_inside_the_client_is_the_client_and_a_missing_file_or_call_is_not() {
        assert_eq!(get("/rooms/team-a/general", "text/html,*/*").status(), 200);
        for (path, accept) in
            [("/rooms/team-a/general", "*/*"), ("/missing.js", "text/html"), ("/v1/nothing", "text/html")]
        {
            assert_eq!(get(path, accept).status(), 404, "{path}");
        }
        let posted = serve(&settings(), &Method::POST, &"/".parse().unwrap(), &HeaderMap::new());
        assert_eq!(posted.status(), 404);
    }
}
