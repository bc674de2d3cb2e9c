//! Login and what people see and change of their own account.

use reqwest::Method;
use serde_json::{Value, json};

use crate::util::TestApp;
use crate::util::app::password_of;

#[tokio::test]
async fn a_login_answers_a_pair_of_tokens_and_whose_they_are() {
    let app = TestApp::start().await;
    let id = app.register("alice").await.expect(201).body["user"]["id"].clone();
    let answer = app.login("alice").await.expect(200);
    assert_eq!((&answer.body["token_type"], &answer.body["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(answer.body["user"], json!({"id": id, "username": "alice", "display_name": "alice"}));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.headers.get("set-cookie").is_none());
    assert!(answer.text("refresh_token").len() >= 43);

    let claims = claims(&answer.text("access_token"));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(app.address.http), &json!("parlor")));
    assert_eq!((&claims["sub"], &claims["preferred_username"]), (&id, &json!("alice")));
    assert!(claims["sid"].is_string());
    let now = e2e::keys::unix_seconds();
    assert!((now + 590..=now + 601).contains(&claims["exp"].as_u64().unwrap()));
}

#[tokio::test]
async fn wrong_user_and_wrong_password_get_one_answer() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    let mut answers = Vec::new();
    for (username, password) in [
        ("alice", "wrong password"),
        ("nobody", "wrong password"),
        ("Not A Name", "wrong password"),
        ("a\u{0}", "x"),
        ("alice", ""),
    ] {
        let answer = app.post("/v1/login", &json!({"username": username, "password": password})).await;
        answers.push(answer.expect_problem(401, "unauthenticated", Some("wrong_credentials")).body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn a_device_is_a_short_line_of_text() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    for device in ["", "a\nb", &"x".repeat(65)] {
        let body = json!({"username": "alice", "password": password_of("alice"), "device": device});
        app.post("/v1/login", &body).await.expect_problem(422, "invalid", Some("device"));
    }
}

#[tokio::test]
async fn people_see_and_change_their_own_account() {
    let app = TestApp::start().await;
    let token = app.person("alice").await.text("access_token");
    let me = app.get("/v1/me", &token).await.expect(200).body;
    assert_eq!((&me["username"], &me["display_name"], &me["email"]), (&json!("alice"), &json!("alice"), &Value::Null));
    let created = me["created_at"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.len() == "2026-01-01T00:00:00.000Z".len(), "{created}");

    let patch = async |body: Value| app.ask(Method::PATCH, "/v1/me", Some(&token), Some(&body)).await;
    let changed = patch(json!({"display_name": "Alice", "email": "a@b.example"})).await.expect(200).body;
    assert_eq!((&changed["display_name"], &changed["email"]), (&json!("Alice"), &json!("a@b.example")));
    let changed = patch(json!({"unknown": 1})).await.expect(200).body;
    assert_eq!((&changed["display_name"], &changed["email"]), (&json!("Alice"), &json!("a@b.example")));
    let changed = patch(json!({"email": null})).await.expect(200).body;
    assert_eq!((&changed["display_name"], &changed["email"]), (&json!("Alice"), &Value::Null));
    patch(json!({"display_name": "a\u{202e}b"})).await.expect_problem(422, "invalid", Some("display_name"));
    patch(json!({"email": "nobody"})).await.expect_problem(422, "invalid", Some("email"));
    assert_eq!(app.get("/v1/me", &token).await.expect(200).body["display_name"], "Alice");
}

#[tokio::test]
async fn a_new_name_stands_in_the_next_access_token() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    let body = json!({"display_name": "Alice"});
    app.ask(Method::PATCH, "/v1/me", Some(&person.text("access_token")), Some(&body)).await.expect(200);
    let answer = app.refresh(&person.text("refresh_token")).await.expect(200);
    assert_eq!(answer.body["user"]["display_name"], "Alice");
    assert_eq!(claims(&answer.text("access_token"))["name"], "Alice");
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_all_other_sessions() {
    let app = TestApp::start().await;
    let here = app.person("alice").await;
    let there = app.login("alice").await.expect(200);
    let token = here.text("access_token");
    let change = async |current: &str, new: &str| {
        app.ask(Method::POST, "/v1/me/password", Some(&token), Some(&json!({"current": current, "new": new}))).await
    };
    change("wrong password", "another password").await.expect_problem(403, "forbidden", Some("wrong_password"));
    change(&password_of("alice"), "short").await.expect_problem(422, "invalid", Some("new"));
    app.get("/v1/me", &there.text("access_token")).await.expect(200);

    change(&password_of("alice"), "another password").await.expect(204);
    app.get("/v1/me", &token).await.expect(200);
    app.get("/v1/me", &there.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    app.refresh(&there.text("refresh_token")).await.expect(401);
    app.refresh(&here.text("refresh_token")).await.expect(200);
    app.login("alice").await.expect(401);
    app.post("/v1/login", &json!({"username": "alice", "password": "another password"})).await.expect(200);
}

/// The claims of a JWT, not verified.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
