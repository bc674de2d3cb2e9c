//! Wrong requests of many kinds: each is told what is wrong, none costs the process anything that stays.

use std::time::Duration;

use e2e::keys::{Key, unix_seconds};
use e2e::signal;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::util::{Answer, TestApp};

/// What may be kept of 10,000 requests.
const ALLOWED_BYTES: u64 = 8 * 1024 * 1024;

/// A wrong request and its answer.
struct Kind {
    name: &'static str,
    method: Method,
    path: String,
    token: Option<String>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

impl Kind {
    fn request(&self, app: &TestApp) -> RequestBuilder {
        let mut request = app.client.request(self.method.clone(), format!("{}{}", app.address.http, self.path));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(content_type) = self.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(self.body.clone())
    }

    fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    fn with_type(mut self, content_type: Option<&'static str>) -> Self {
        self.content_type = content_type;
        self
    }
}

#[tokio::test]
async fn every_kind_of_wrong_request_is_told_what_is_wrong() {
    let app = TestApp::start().await;
    let good = app.person("alice").await.text("access_token");
    for kind in kinds(&app, &good) {
        let answer = Answer::read(kind.request(&app).send().await.unwrap()).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (kind.status, &json!(kind.code)),
            "{}: {}",
            kind.name,
            answer.body
        );
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", kind.name);
        for field in ["type", "title", "detail"] {
            assert!(answer.body[field].is_string(), "{}: no {field}", kind.name);
        }
    }
    app.get("/v1/me", &good).await.expect(200);
}

#[tokio::test]
async fn ten_thousand_wrong_requests_leave_nothing_behind() {
    let mut app = TestApp::start().await;
    let good = app.person("alice").await.text("access_token");
    let kinds = kinds(&app, &good);
    send(&app, &kinds, 1_000).await;
    let before = signal::resident_bytes(app.program.pid()).unwrap();
    send(&app, &kinds, 10_000).await;
    // What is still being dropped.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = signal::resident_bytes(app.program.pid()).unwrap();
    println!(
        "{} kinds; resident {} KiB after 1,000, {} KiB after 10,000 more",
        kinds.len(),
        before / 1024,
        after / 1024
    );
    assert!(after <= before + ALLOWED_BYTES, "{before} bytes became {after}");
    assert!(app.program.ended().unwrap().is_none());
    app.get("/v1/me", &good).await.expect(200);
}

/// So many, eight at a time.
async fn send(app: &TestApp, kinds: &[Kind], count: usize) {
    for start in (0..count).step_by(8) {
        let batch = (start..(start + 8).min(count)).map(|number| {
            let kind = &kinds[number % kinds.len()];
            async move {
                let answer = kind.request(app).send().await.unwrap();
                assert_eq!(answer.status(), kind.status, "{}", kind.name);
                answer.bytes().await.unwrap();
            }
        });
        futures::future::join_all(batch).await;
    }
}

fn kind(
    name: &'static str,
    method: Method,
    path: &str,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> Kind {
    Kind {
        name,
        method,
        path: path.to_owned(),
        token: None,
        content_type: Some("application/json"),
        body: body.into(),
        status,
        code,
    }
}

fn kinds(app: &TestApp, good: &str) -> Vec<Kind> {
    [bodies(), fields(), tokens(app), of_somebody(good)].into_iter().flatten().collect()
}

/// What is no request of ours at all.
fn bodies() -> Vec<Kind> {
    let post = |name, body: &[u8], status, code| kind(name, Method::POST, "/v1/login", body, status, code);
    let login = br#"{"username":"alice","password":"wrong password"}"#;
    vec![
        post("no JSON", b"{", 422, "invalid"),
        post("an array", b"[]", 422, "invalid"),
        post("a login without its names", br#"["alice","wrong password"]"#, 422, "invalid"),
        post("nothing", b"", 422, "invalid"),
        post("no text in UTF-8", b"{\"username\":\"\xff\xfe\",\"password\":\"12345678\"}", 422, "invalid"),
        post("deeply nested", "[".repeat(100_000).as_bytes(), 422, "invalid"),
        post("larger than 1 MiB", &vec![b' '; 1_100_000], 413, "too_large"),
        post("text", login, 415, "unsupported_media_type").with_type(Some("text/plain")),
        post("a form", b"username=alice&password=x", 415, "unsupported_media_type")
            .with_type(Some("application/x-www-form-urlencoded")),
        post("no type", login, 415, "unsupported_media_type").with_type(None),
        kind("no such path", Method::GET, "/v1/nothing", "", 404, "not_found"),
        kind("a very long path", Method::GET, &format!("/{}", "x".repeat(5_000)), "", 404, "not_found"),
        kind("a path with a NUL", Method::GET, "/v1/%00", "", 404, "not_found"),
    ]
}

/// What has the right form and wrong fields.
fn fields() -> Vec<Kind> {
    let register = |name, body: Value| kind(name, Method::POST, "/v1/register", body.to_string(), 422, "invalid");
    let login = |name, body: Value, status, code| kind(name, Method::POST, "/v1/login", body.to_string(), status, code);
    let refresh = |name, body: &str, status, code| kind(name, Method::POST, "/v1/refresh", body, status, code);
    vec![
        login("no password", json!({"username": "alice"}), 422, "invalid"),
        login("a password that is a number", json!({"username": "alice", "password": 12_345_678}), 422, "invalid"),
        login("a username that is null", json!({"username": null, "password": "12345678"}), 422, "invalid"),
        login(
            "a device of two lines",
            json!({"username": "alice", "password": "12345678", "device": "a\nb"}),
            422,
            "invalid",
        ),
        login("a wrong password", json!({"username": "alice", "password": "wrong password"}), 401, "unauthenticated"),
        register("an upper-case name", json!({"username": "Alice", "password": "12345678"})),
        register("a name of 33 letters", json!({"username": "a".repeat(33), "password": "12345678"})),
        register("a short password", json!({"username": "carol", "password": "1234567"})),
        register("a long password", json!({"username": "carol", "password": "x".repeat(257)})),
        register(
            "a shown name with a NUL",
            json!({"username": "carol", "password": "12345678", "display_name": "\u{0}"}),
        ),
        register("mail to nobody", json!({"username": "carol", "password": "12345678", "email": "carol"})),
        register("an invite that is a list", json!({"username": "carol", "password": "12345678", "invite": []})),
        refresh(
            "a refresh token of nobody",
            &json!({"refresh_token": "A".repeat(86)}).to_string(),
            401,
            "unauthenticated",
        ),
        refresh("a refresh token that is nonsense", r#"{"refresh_token":"?"}"#, 401, "unauthenticated"),
        refresh("a refresh token that is a number", r#"{"refresh_token":7}"#, 422, "invalid"),
        refresh("no refresh token", "{}", 401, "unauthenticated"),
        refresh("a refresh that is no JSON", "x", 422, "invalid"),
    ]
}

/// Whoever is not who they say.
fn tokens(app: &TestApp) -> Vec<Kind> {
    let now = unix_seconds();
    let id = "0198c5a0-0000-7000-8000-000000000000";
    let claims = json!({"iss": app.address.http, "aud": "parlor", "sub": id, "sid": id, "preferred_username": "eve",
        "name": "Eve", "iat": now - 700, "exp": now + 3_600});
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": app.key.kid});
    let changed = |base: &Value, field: &str, value: Value| {
        let mut changed = base.clone();
        changed[field] = value;
        changed
    };
    let sign = |header: &Value, claims: &Value| format!("Bearer {}", app.key.sign(header, claims));
    let other = Key::generate("other").unwrap();
    let me = |name, token: String, code| kind(name, Method::GET, "/v1/me", "", 401, code).with_token(token);
    vec![
        kind("no token", Method::GET, "/v1/me", "", 401, "unauthenticated"),
        me("another scheme", "Basic YTpi".to_owned(), "unauthenticated"),
        me("a scheme alone", "Bearer".to_owned(), "unauthenticated"),
        me("no JWT", "Bearer nonsense".to_owned(), "unauthenticated"),
        me("a very long token", format!("Bearer {}", "A".repeat(6_000)), "unauthenticated"),
        me("another's signature", format!("Bearer {}", other.sign(&header, &claims)), "unauthenticated"),
        me("no algorithm", sign(&changed(&header, "alg", json!("none")), &claims), "unauthenticated"),
        me("a symmetric algorithm", sign(&changed(&header, "alg", json!("HS256")), &claims), "unauthenticated"),
        me("an unknown key", sign(&changed(&header, "kid", json!("other")), &claims), "unauthenticated"),
        me("no key", sign(&changed(&header, "kid", Value::Null), &claims), "unauthenticated"),
        me("another audience", sign(&header, &changed(&claims, "aud", json!("elsewhere"))), "unauthenticated"),
        me("another issuer", sign(&header, &changed(&claims, "iss", json!("http://evil.example"))), "unauthenticated"),
        me("nobody's id", sign(&header, &changed(&claims, "sub", json!("alice"))), "unauthenticated"),
        me("no end", sign(&header, &changed(&claims, "exp", Value::Null)), "unauthenticated"),
        me("an end that is past", sign(&header, &changed(&claims, "exp", json!(now - 1))), "token_expired"),
        me("a service's token", format!("Bearer {}", app.service_token("users")), "unauthenticated"),
    ]
}

/// What somebody does wrong who is signed in.
fn of_somebody(good: &str) -> Vec<Kind> {
    let token = format!("Bearer {good}");
    let unknown = "/v1/me/sessions/0198c5a0-0000-7000-8000-000000000000";
    let change = json!({"current": "12345678", "new": "short"}).to_string();
    [
        kind("a change that is no object", Method::PATCH, "/v1/me", "7", 422, "invalid"),
        kind("a blank name", Method::PATCH, "/v1/me", r#"{"display_name":" "}"#, 422, "invalid"),
        kind("a name that is a list", Method::PATCH, "/v1/me", r#"{"display_name":[]}"#, 422, "invalid"),
        kind("mail to nobody", Method::PATCH, "/v1/me", r#"{"email":"x"}"#, 422, "invalid"),
        kind("a new password that is short", Method::POST, "/v1/me/password", change, 422, "invalid"),
        kind("a session that is no id", Method::DELETE, "/v1/me/sessions/x", "", 422, "invalid"),
        kind("a session that is not theirs", Method::DELETE, unknown, "", 404, "not_found"),
    ]
    .map(|kind| kind.with_token(token.clone()))
    .into()
}
