//! What goes on and what is refused, and how soon, while PostgreSQL or Redis is away.

use std::time::{Duration, Instant};

use e2e::proxy::{Direction, Flow, Proxy};
use e2e::servers::Servers;
use e2e::wait;
use reqwest::Method;

use crate::util::redis_server::RedisServer;
use crate::util::{Answer, Options, TestApp};

#[tokio::test]
async fn without_redis_nobody_signs_in_and_who_is_signed_in_goes_on() {
    let mut redis = RedisServer::start().await;
    let options = Options { redis_url: Some(redis.url.clone()), limits: true, ..Options::default() };
    let app = TestApp::start_with(options).await;
    let (alice, gone) = (app.person("alice").await, app.person("gone").await);
    app.ask(Method::POST, "/v1/logout", Some(&gone.text("access_token")), None).await.expect(204);
    wait_known(&app, &gone).await;

    redis.kill();
    for _ in 0..2 {
        let started = Instant::now();
        app.login("alice").await.expect_problem(503, "unavailable", Some("sessions"));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let started = Instant::now();
        app.refresh(&alice.text("refresh_token")).await.expect_problem(503, "unavailable", Some("sessions"));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    app.get("/v1/me", &alice.text("access_token")).await.expect(200);
    app.get("/v1/me", &gone.text("access_token")).await.expect_problem(401, "unauthenticated", Some("revoked"));
    let logout = app.ask(Method::POST, "/v1/logout", Some(&alice.text("access_token")), None).await;
    logout.expect_problem(503, "unavailable", Some("sessions"));
    wait_away(&app, "redis").await;
    assert_ready(&app).await;
    app.register("bob").await.expect(201);

    redis.revive().await;
    wait::until(Duration::from_secs(10), "sign-in works again", || async {
        Ok((app.login("alice").await.status == 200).then_some(()))
    })
    .await
    .unwrap();
    // Sessions went with Redis: refreshing is over, by a definite answer.
    app.refresh(&alice.text("refresh_token")).await.expect(401);
    app.get("/v1/me", &alice.text("access_token")).await.expect(200);
    wait_all_there(&app).await;
}

#[tokio::test]
async fn a_redis_that_only_hangs_is_as_bad_as_none_and_no_worse() {
    let servers = Servers::from_env().unwrap();
    let proxy = Proxy::start(&servers.redis_url).await.unwrap();
    let redis = servers.redis().await.unwrap();
    let app = TestApp::start_with(Options { redis_url: Some(proxy.url(&redis.url)), ..Options::default() }).await;
    let alice = app.person("alice").await;
    proxy.set(Direction::ToClient, Flow::Hold);
    let started = Instant::now();
    app.refresh(&alice.text("refresh_token")).await.expect_problem(503, "unavailable", Some("sessions"));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    app.get("/v1/me", &alice.text("access_token")).await.expect(200);
    proxy.release();
    let next = wait::until(Duration::from_secs(10), "refreshing works again", || async {
        let answer = app.refresh(&alice.text("refresh_token")).await;
        Ok((answer.status == 200).then_some(answer))
    })
    .await
    .unwrap();
    app.get("/v1/me", &next.text("access_token")).await.expect(200);
}

#[tokio::test]
async fn without_postgresql_sessions_go_on_and_accounts_are_unavailable() {
    let servers = Servers::from_env().unwrap();
    let proxy = Proxy::start(&servers.database_url).await.unwrap();
    let database = servers.database().await.unwrap();
    let app = TestApp::start_with(Options { database_url: Some(proxy.url(&database.url)), ..Options::default() }).await;
    let alice = app.person("alice").await;
    proxy.refuse(true);
    proxy.cut_where(|_| true);
    let next = app.refresh(&alice.text("refresh_token")).await.expect(200);
    assert_eq!(next.body["user"], alice.body["user"]);
    for _ in 0..2 {
        let started = Instant::now();
        app.login("alice").await.expect_problem(503, "unavailable", Some("database"));
        app.register("bob").await.expect_problem(503, "unavailable", Some("database"));
        app.get("/v1/me", &next.text("access_token")).await.expect_problem(503, "unavailable", Some("database"));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
    wait_away(&app, "postgres").await;
    assert_ready(&app).await;
    app.ask(Method::POST, "/v1/logout", Some(&next.text("access_token")), None).await.expect(204);
    proxy.refuse(false);
    wait::until(Duration::from_secs(20), "accounts can be read again", || async {
        Ok((app.login("alice").await.status == 200).then_some(()))
    })
    .await
    .unwrap();
    wait_all_there(&app).await;
}

#[tokio::test]
async fn it_starts_without_its_servers_and_says_what_it_waits_for() {
    let redis_url = "redis://127.0.0.1:1".to_owned();
    let database_url = "postgres://nobody:nothing@127.0.0.1:1/nowhere".to_owned();
    let options = Options { redis_url: Some(redis_url), database_url: Some(database_url), ..Options::default() };
    let app = TestApp::spawn_with(options).await;
    wait::until(Duration::from_secs(10), "/healthz", || async {
        let answer = app.client.get(format!("{}/healthz", app.address.health)).send().await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await
    .unwrap();
    let body = away(&app).await;
    assert!(body.contains("postgres") && body.contains("redis") && !body.contains("nothing"), "{body}");
    assert!(!app.client.get(format!("{}/readyz", app.address.health)).send().await.unwrap().status().is_success());
    app.ask(Method::GET, "/.well-known/jwks.json", None, None).await.expect(200);
    app.login("alice").await.expect_problem(503, "unavailable", Some("database"));
}

/// What `/readyz` says is away; empty if nothing is.
async fn away(app: &TestApp) -> String {
    let answer = app.client.get(format!("{}/readyz", app.address.health)).send().await.unwrap();
    let body: serde_json::Value = answer.json().await.unwrap();
    let lists = ["waiting", "without"].map(|list| body[list].as_array().unwrap().clone()).concat();
    if lists.is_empty() { String::new() } else { serde_json::to_string(&lists).unwrap() }
}

/// Not ready would mean: out of service, with all other copies of the program.
async fn assert_ready(app: &TestApp) {
    let answer = app.client.get(format!("{}/readyz", app.address.health)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn wait_away(app: &TestApp, name: &str) {
    wait::until(Duration::from_secs(10), "/readyz says what is away", || async {
        Ok(away(app).await.contains(name).then_some(()))
    })
    .await
    .unwrap();
}

async fn wait_all_there(app: &TestApp) {
    wait::until(Duration::from_secs(15), "nothing is away", || async { Ok(away(app).await.is_empty().then_some(())) })
        .await
        .unwrap();
}

/// The instance reads the record of revocations twice a second.
async fn wait_known(app: &TestApp, person: &Answer) {
    app.get("/v1/me", &person.text("access_token")).await.expect(401);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}
