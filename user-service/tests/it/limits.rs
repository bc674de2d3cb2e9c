//! Limits per user and per address, and when to come again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::util::{Answer, Options, TestApp};

#[tokio::test]
async fn ten_logins_of_one_name_then_a_pause_whoever_asks_and_whether_the_name_exists() {
    let app = limited(&["--trust-forwarded"]).await;
    app.register("alice").await.expect(201);
    for username in ["alice", "nobody"] {
        let started = Instant::now();
        let mut passed = 0;
        let refused = loop {
            let answer = login_from(&app, &format!("192.0.2.{passed}"), username, "wrong password").await;
            if answer.status != 401 {
                break answer.expect_problem(429, "rate_limited", None);
            }
            passed += 1;
        };
        assert!((10..=11 + started.elapsed().as_secs() / 6).contains(&passed), "{passed}");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=6).contains(&seconds), "{seconds}");
    }
    // Others go on.
    app.person("bob").await;
}

#[tokio::test]
async fn after_the_pause_that_was_told_it_works_again() {
    let app = limited(&[]).await;
    app.register("alice").await.expect(201);
    let refused = loop {
        let answer = app.login("alice").await;
        if answer.status != 200 {
            break answer.expect_problem(429, "rate_limited", None);
        }
    };
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    app.login("alice").await.expect(200);
}

#[tokio::test]
async fn sixty_sign_ins_of_one_address_whatever_the_names() {
    let app = limited(&["--trust-forwarded"]).await;
    let started = Instant::now();
    let mut good = 0;
    let refused = loop {
        let answer = login_from(&app, "192.0.2.1", &format!("user{}", good % 30), "wrong password").await;
        if answer.status != 401 {
            break answer.expect_problem(429, "rate_limited", None);
        }
        good += 1;
    };
    let regained = started.elapsed().as_secs();
    assert!((60..=61 + regained).contains(&good), "{good} in {regained} s");
    assert_eq!(refused.header("retry-after"), "1");
    login_from(&app, "192.0.2.2", "user99", "wrong password").await.expect(401);
}

#[tokio::test]
async fn thirty_registrations_of_one_address() {
    let app = limited(&["--password-hashes", "2"]).await;
    let started = Instant::now();
    let mut good = 0;
    loop {
        // Refused ones count too, and cost no hash.
        let answer = app.post("/v1/register", &json!({"username": "A", "password": "x"})).await;
        if answer.status == 429 {
            answer.expect_problem(429, "rate_limited", None);
            break;
        }
        answer.expect(422);
        good += 1;
    }
    assert!((30..=31 + started.elapsed().as_secs() / 2).contains(&good), "{good}");
}

#[tokio::test]
async fn a_header_from_a_stranger_does_not_change_the_address() {
    let app = limited(&[]).await;
    let mut statuses = Vec::new();
    for number in 0..70 {
        let answer = login_from(&app, &format!("192.0.2.{number}"), "Not A Name", "wrong password").await;
        statuses.push(answer.status);
        if answer.status == 429 {
            return;
        }
    }
    panic!("70 sign-ins of one address passed: {statuses:?}");
}

#[tokio::test]
async fn guessing_the_current_password_with_a_stolen_token_is_limited() {
    let app = limited(&[]).await;
    let token = app.person("alice").await.text("access_token");
    let guess = json!({"current": "wrong password", "new": "another password"});
    let started = Instant::now();
    let mut passed = 0;
    loop {
        let answer = app.ask(reqwest::Method::POST, "/v1/me/password", Some(&token), Some(&guess)).await;
        if answer.status != 403 {
            answer.expect_problem(429, "rate_limited", None);
            break;
        }
        passed += 1;
    }
    assert!((10..=11 + started.elapsed().as_secs() / 6).contains(&passed), "{passed}");
}

#[tokio::test]
async fn more_logins_than_can_be_hashed_are_told_to_come_again() {
    let app = TestApp::start_with(Options::with(&["--password-hashes", "1"])).await;
    app.register("alice").await.expect(201);
    let started = Instant::now();
    let answers = futures::future::join_all((0..120).map(|_| app.login("alice"))).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let (good, busy): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!good.is_empty(), "{} refused", busy.len());
    assert!(busy.iter().any(|answer| answer.body["reason"] == "busy"), "{} good", good.len());
    for answer in busy {
        // On a machine that is busy itself the wait for the database may end first.
        let reason = answer.body["reason"].as_str().map(str::to_owned);
        answer.expect_problem(503, "unavailable", reason.as_deref());
    }
    app.login("alice").await.expect(200);
}

async fn limited(flags: &[&str]) -> TestApp {
    TestApp::start_with(Options { limits: true, ..Options::with(flags) }).await
}

async fn login_from(app: &TestApp, address: &str, username: &str, password: &str) -> Answer {
    let request = app.client.post(format!("{}/v1/login", app.address.http));
    let request = request.header("x-forwarded-for", format!("203.0.113.7, {address}"));
    let body = json!({"username": username, "password": password});
    Answer::read(request.json(&body).send().await.unwrap()).await
}
