//! Refresh tokens and sessions.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::accounts::claims;
use crate::util::TestApp;
use crate::util::app::password_of;

#[tokio::test]
async fn each_refresh_gives_a_new_pair_of_the_same_session() {
    let app = TestApp::start().await;
    let mut person = app.person("alice").await;
    let session = claims(&person.text("access_token"))["sid"].clone();
    for _ in 0..5 {
        let next = app.refresh(&person.text("refresh_token")).await.expect(200);
        assert_ne!(next.text("refresh_token"), person.text("refresh_token"));
        assert_eq!(claims(&next.text("access_token"))["sid"], session);
        assert_eq!(next.body["user"], person.body["user"]);
        app.get("/v1/me", &next.text("access_token")).await.expect(200);
        person = next;
    }
}

#[tokio::test]
async fn an_old_token_used_again_ends_the_whole_session() {
    let app = TestApp::start().await;
    let first = app.person("alice").await;
    let second = app.refresh(&first.text("refresh_token")).await.expect(200);
    let third = app.refresh(&second.text("refresh_token")).await.expect(200);
    // Only the immediate parent is forgiven, and this is a grandparent, though seconds old.
    app.refresh(&first.text("refresh_token")).await.expect_problem(
        401,
        "unauthenticated",
        Some("refresh_token_reused"),
    );
    app.refresh(&third.text("refresh_token")).await.expect_problem(
        401,
        "unauthenticated",
        Some("refresh_token_invalid"),
    );
    for answer in [&first, &second, &third] {
        app.get("/v1/me", &answer.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    }
    app.login("alice").await.expect(200);
}

#[tokio::test]
async fn however_old_a_token_is_its_reuse_is_found() {
    let app = TestApp::start().await;
    let first = app.person("alice").await;
    let mut token = first.text("refresh_token");
    for _ in 0..200 {
        token = app.refresh(&token).await.expect(200).text("refresh_token");
    }
    app.refresh(&first.text("refresh_token")).await.expect_problem(
        401,
        "unauthenticated",
        Some("refresh_token_reused"),
    );
    app.refresh(&token).await.expect(401);
}

#[tokio::test]
async fn a_lost_answer_is_forgiven_and_what_it_carried_is_void() {
    let app = TestApp::start().await;
    let first = app.person("alice").await.text("refresh_token");
    let lost = app.refresh(&first).await.expect(200).text("refresh_token");
    let again = app.refresh(&first).await.expect(200).text("refresh_token");
    assert_ne!(lost, again);
    // It may only have been late, so it costs nothing, before and after the other one is used.
    let void = async || {
        let answer = app.refresh(&lost).await;
        answer.expect_problem(401, "unauthenticated", Some("refresh_token_invalid"));
    };
    void().await;
    let next = app.refresh(&again).await.expect(200).text("refresh_token");
    void().await;
    app.refresh(&next).await.expect(200);
}

#[tokio::test]
async fn who_shows_the_void_one_later_ends_the_session() {
    let app = TestApp::start().await;
    let first = app.person("alice").await.text("refresh_token");
    let lost = app.refresh(&first).await.expect(200).text("refresh_token");
    let again = app.refresh(&first).await.expect(200).text("refresh_token");
    tokio::time::sleep(Duration::from_millis(10_300)).await;
    app.refresh(&lost).await.expect_problem(401, "unauthenticated", Some("refresh_token_reused"));
    app.refresh(&again).await.expect(401);
}

#[tokio::test]
async fn after_ten_seconds_the_parent_is_not_forgiven_any_more() {
    let app = TestApp::start().await;
    let first = app.person("alice").await.text("refresh_token");
    let second = app.refresh(&first).await.expect(200).text("refresh_token");
    tokio::time::sleep(Duration::from_millis(10_300)).await;
    app.refresh(&first).await.expect_problem(401, "unauthenticated", Some("refresh_token_reused"));
    app.refresh(&second).await.expect(401);
}

#[tokio::test]
async fn of_two_refreshes_at_the_same_time_with_one_token_one_counts_and_the_session_goes_on() {
    let app = TestApp::start().await;
    let mut token = app.person("alice").await.text("refresh_token");
    for _ in 0..10 {
        let (one, two) = tokio::join!(app.refresh(&token), app.refresh(&token));
        let (one, two) = (one.expect(200).text("refresh_token"), two.expect(200).text("refresh_token"));
        let (of_one, of_two) = (app.refresh(&one).await, app.refresh(&two).await);
        let mut statuses = [of_one.status, of_two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
        token = if of_one.status == 200 { of_one } else { of_two }.text("refresh_token");
    }
}

#[tokio::test]
async fn forgiveness_has_an_end_that_does_not_cost_the_session() {
    let app = TestApp::start().await;
    let first = app.person("alice").await.text("refresh_token");
    let mut last = String::new();
    for _ in 0..16 {
        last = app.refresh(&first).await.expect(200).text("refresh_token");
    }
    let refused = app.refresh(&first).await;
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("rate_limited")), "{}", refused.body);
    app.refresh(&last).await.expect(200);
}

#[tokio::test]
async fn a_guess_does_not_end_anybodys_session() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    let session: uuid::Uuid = claims(&person.text("access_token"))["sid"].as_str().unwrap().parse().unwrap();
    // All that somebody can know who saw an access token.
    let guess = [session.as_bytes().as_slice(), &[7; 48]].concat();
    let guess = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, guess);
    let tail = person.text("refresh_token")[..80].to_owned() + "AAAAAA";
    for wrong in [guess.as_str(), "", "x", &"A".repeat(86), &"A".repeat(10_000)] {
        app.refresh(wrong).await.expect_problem(401, "unauthenticated", Some("refresh_token_invalid"));
    }
    let next = app.refresh(&person.text("refresh_token")).await.expect(200);
    app.get("/v1/me", &next.text("access_token")).await.expect(200);
    // One that shares the family's secret without ever having been given out can only come from a holder of a token.
    app.refresh(&tail).await.expect_problem(401, "unauthenticated", Some("refresh_token_reused"));
}

#[tokio::test]
async fn logout_ends_this_session_everywhere_and_no_other() {
    let app = TestApp::start().await;
    let here = app.person("alice").await;
    let there = app.login("alice").await.expect(200);
    app.ask(Method::POST, "/v1/logout", Some(&here.text("access_token")), None).await.expect(204);
    app.get("/v1/me", &here.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    app.refresh(&here.text("refresh_token")).await.expect(401);
    app.ask(Method::POST, "/v1/logout", Some(&here.text("access_token")), None).await.expect(401);
    app.get("/v1/me", &there.text("access_token")).await.expect(200);
    let second = app.second().await;
    let answer = app.ask_at(&second.address.http, Method::GET, "/v1/me", Some(&here.text("access_token")), None).await;
    answer.expect_problem(401, "unauthenticated", Some("revoked"));
}

#[tokio::test]
async fn people_see_their_sessions_and_end_one() {
    let app = TestApp::start().await;
    app.register("alice").await.expect(201);
    app.person("bob").await;
    let login = async |device: Value| {
        let body = json!({"username": "alice", "password": password_of("alice"), "device": device});
        app.post("/v1/login", &body).await.expect(200)
    };
    let (phone, laptop, nameless) =
        (login(json!("phone")).await, login(json!("laptop")).await, login(Value::Null).await);
    let phone = app.refresh(&phone.text("refresh_token")).await.expect(200);
    let token = phone.text("access_token");
    let list = app.get("/v1/me/sessions", &token).await.expect(200).body;
    let sessions = list["sessions"].as_array().unwrap();
    let devices: Vec<_> = sessions.iter().map(|session| session["device"].clone()).collect();
    assert_eq!(devices, [json!("phone"), Value::Null, json!("laptop")], "the one used last comes first");
    let current: Vec<_> = sessions.iter().filter(|session| session["current"] == true).collect();
    assert_eq!((current.len(), &current[0]["id"]), (1, &claims(&token)["sid"]));
    assert!(sessions[0]["last_used_at"].as_str() > sessions[0]["created_at"].as_str());

    let end = async |id: &str| app.ask(Method::DELETE, &format!("/v1/me/sessions/{id}"), Some(&token), None).await;
    end(sessions[2]["id"].as_str().unwrap()).await.expect(204);
    app.get("/v1/me", &laptop.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    app.get("/v1/me", &nameless.text("access_token")).await.expect(200);
    end(sessions[2]["id"].as_str().unwrap()).await.expect_problem(404, "not_found", None);
    end("0198c5a0-0000-7000-8000-000000000000").await.expect_problem(404, "not_found", None);
    assert_eq!(end("no-id").await.expect(422).body["code"], "invalid");
    let list = app.get("/v1/me/sessions", &token).await.expect(200).body;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_ends_the_session_of_somebody_else() {
    let app = TestApp::start().await;
    let alice = app.person("alice").await.text("access_token");
    let bob = app.person("bob").await.text("access_token");
    let path = format!("/v1/me/sessions/{}", claims(&bob)["sid"].as_str().unwrap());
    app.ask(Method::DELETE, &path, Some(&alice), None).await.expect_problem(404, "not_found", None);
    app.get("/v1/me", &bob).await.expect(200);
}

#[tokio::test]
async fn sessions_of_one_person_are_bounded_and_the_one_not_used_longest_makes_room() {
    let app = TestApp::start().await;
    let first = app.person("alice").await;
    let second = app.login("alice").await.expect(200);
    let first = app.refresh(&first.text("refresh_token")).await.expect(200);
    for _ in 0..33 {
        let answers = futures::future::join_all((0..3).map(|_| app.login("alice"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    // 101 so far.
    app.get("/v1/me", &second.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    let list = app.get("/v1/me/sessions", &first.text("access_token")).await.expect(200).body;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn redis_holds_no_token_and_nothing_for_ever() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    let next = app.refresh(&person.text("refresh_token")).await.expect(200);
    let mut redis = app.redis.connect().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    let mut all = keys.join("\n");
    for key in &keys {
        let kind: String = redis::cmd("TYPE").arg(key).query_async(&mut redis).await.unwrap();
        if kind == "hash" {
            let fields: Vec<String> = redis::cmd("HGETALL").arg(key).query_async(&mut redis).await.unwrap();
            all.push_str(&fields.join("\n"));
        }
        let ttl: i64 = redis::cmd("TTL").arg(key).query_async(&mut redis).await.unwrap();
        assert!(ttl > 0 || key.ends_with(":revocations"), "{key} stays for ever");
    }
    assert!(all.contains("alice"), "the session was looked at");
    for answer in [&person, &next] {
        let token = answer.text("refresh_token");
        assert!(!all.contains(&token) && !all.contains(&token[44..]), "a token stands in Redis");
    }
}
