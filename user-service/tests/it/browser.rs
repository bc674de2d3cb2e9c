//! What browsers need and what they must not be able to do: the cookie, other origins.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, COOKIE, ORIGIN as ORIGIN_HEADER, SET_COOKIE};
use serde_json::json;

use crate::util::app::{ORIGIN, password_of};
use crate::util::{Answer, Options, TestApp};

#[tokio::test]
async fn a_cookie_takes_the_place_of_the_refresh_token_in_the_body() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    let login = cookie_login(&app).await;
    assert!(login.body.get("refresh_token").is_none(), "no script may read it");
    let set = login.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(set.contains(part), "{part} in {}", set.split(';').skip(1).collect::<String>());
    }
    assert!(!set.contains("Secure"), "this instance speaks plain HTTP");
    let cookie = set.split(';').next().unwrap().to_owned();

    let next = refresh(&app, &cookie, Some(ORIGIN), "").await.expect(200);
    assert!(next.body.get("refresh_token").is_none());
    let renewed = next.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_ne!(renewed, cookie);
    let next = refresh(&app, &renewed, None, "{}").await.expect(200);
    app.get("/v1/me", &next.text("access_token")).await.expect(200);

    let newest = next.header("set-cookie").split(';').next().unwrap().to_owned();
    let request = app.client.post(format!("{}/v1/logout", app.address.http)).header(COOKIE, &newest);
    let out = Answer::read(request.bearer_auth(next.text("access_token")).send().await.unwrap()).await.expect(204);
    assert!(out.header("set-cookie").starts_with("parlor_refresh=;") && out.header("set-cookie").contains("Max-Age=0"));
    refresh(&app, &newest, Some(ORIGIN), "").await.expect(401);
}

#[tokio::test]
async fn over_tls_the_cookie_stays_on_tls() {
    let options = Options { issuer: Some("https://chat.example.com".to_owned()), ..Options::default() };
    let app = TestApp::start_with(options).await;
    app.register("alice").await.expect(201);
    assert!(cookie_login(&app).await.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn without_a_token_there_is_nothing_to_refresh() {
    let app = TestApp::start().await;
    for body in ["", "{}", r#"{"refresh_token":null}"#] {
        let url = format!("{}/v1/refresh", app.address.http);
        let request = app.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let answer = Answer::read(request.send().await.unwrap()).await;
        answer.expect_problem(401, "unauthenticated", None);
    }
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_the_cookie() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    let login = cookie_login(&app).await;
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    for origin in ["http://evil.example", "null", "http://web.example:8081"] {
        refresh(&app, &cookie, Some(origin), "").await.expect_problem(403, "forbidden", Some("origin"));
    }
    let own = app.address.http.clone();
    refresh(&app, &cookie, Some(&own), "").await.expect(200);
}

#[tokio::test]
async fn only_the_named_origins_may_read_answers() {
    let app = TestApp::start().await;
    let url = format!("{}/v1/login", app.address.http);
    let preflight = async |origin: &str| {
        let request = app.client.request(Method::OPTIONS, &url).header(ORIGIN_HEADER, origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "content-type,authorization");
        Answer::read(request.send().await.unwrap()).await
    };
    let good = preflight(ORIGIN).await.expect(200);
    assert_eq!(good.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(good.header("access-control-allow-credentials"), "true");
    for header in ["content-type", "authorization"] {
        assert!(good.header("access-control-allow-headers").contains(header));
    }
    let bad = preflight("http://evil.example").await;
    assert!(bad.headers.get("access-control-allow-origin").is_none());

    // An error has to be readable too.
    let request = app.client.post(&url).header(ORIGIN_HEADER, ORIGIN).json(&json!({"username": "x"}));
    let answer = Answer::read(request.send().await.unwrap()).await.expect(422);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    let request = app.client.get(format!("{}/nowhere", app.address.http)).header(ORIGIN_HEADER, ORIGIN);
    let answer = Answer::read(request.send().await.unwrap()).await.expect(404);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
}

async fn cookie_login(app: &TestApp) -> Answer {
    let body = json!({"username": "alice", "password": password_of("alice"), "cookie": true});
    let answer = app.post("/v1/login", &body).await.expect(200);
    assert_eq!(answer.headers.get_all(SET_COOKIE).iter().count(), 1);
    answer
}

async fn refresh(app: &TestApp, cookie: &str, origin: Option<&str>, body: &'static str) -> Answer {
    let mut request = app.client.post(format!("{}/v1/refresh", app.address.http)).header(COOKIE, cookie).body(body);
    // As a page does it that has nothing to send.
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(origin) = origin {
        request = request.header(ORIGIN_HEADER, origin);
    }
    Answer::read(request.send().await.unwrap()).await
}
