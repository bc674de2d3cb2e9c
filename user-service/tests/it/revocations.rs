//! `WatchRevocations`: a snapshot, then what is new, on any instance, through any loss.

use std::time::Duration;

use e2e::wait;
use proto::users::v1::{Revocation, WatchRevocationsRequest, WatchRevocationsResponse};
use reqwest::Method;
use tonic::{Code, Streaming};

use crate::accounts::claims;
use crate::grpc::expect;
use crate::util::app::{bearing, grpc};
use crate::util::redis_server::RedisServer;
use crate::util::{Answer, Options, TestApp};

/// Half a second on a quiet machine.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_watcher_gets_a_snapshot_first_and_then_each_session_that_ends() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    logout(&app, &alice).await;
    let mut stream = watch(&app, &app.address.grpc, 0).await;
    let first = until_told(&mut stream, &alice).await;
    let told = first.revocations.iter().find(|one| one.session_id == session(&alice)).unwrap();
    assert_eq!(told.user_id, alice.body["user"]["id"]);
    let exp = claims(&alice.text("access_token"))["exp"].as_i64().unwrap();
    assert!((exp..exp + 120).contains(&told.forget_at), "not before its access token ends, and not long after");

    logout(&app, &bob).await;
    let diff = next(&mut stream).await;
    assert!(!diff.snapshot && diff.version > first.version);
    assert_eq!(sessions(&diff), [session(&bob)]);

    // Who comes again with the last version gets what is new, and hears at once that all is well.
    drop(stream);
    let carol = app.person("carol").await;
    logout(&app, &carol).await;
    let mut again = watch(&app, &app.address.grpc, diff.version).await;
    let more = until_told(&mut again, &carol).await;
    assert!(!more.snapshot);
    assert_eq!(sessions(&more), [session(&carol)]);
    let mut idle = watch(&app, &app.address.grpc, more.version).await;
    let greeting = next(&mut idle).await;
    assert_eq!((greeting.snapshot, greeting.version, greeting.revocations.len()), (false, more.version, 0));
}

#[tokio::test]
async fn an_empty_snapshot_comes_at_once() {
    let app = TestApp::start().await;
    let mut stream = watch(&app, &app.address.grpc, 0).await;
    let first = next(&mut stream).await;
    assert!(first.snapshot && first.revocations.is_empty() && first.version > 0);
}

#[tokio::test]
async fn a_version_that_nobody_gave_out_gets_a_snapshot() {
    let app = TestApp::start().await;
    let mut stream = watch(&app, &app.address.grpc, u64::MAX).await;
    assert!(next(&mut stream).await.snapshot);
    let mut stream = watch(&app, &app.address.grpc, 7).await;
    assert!(next(&mut stream).await.snapshot);
}

#[tokio::test]
async fn every_instance_tells_what_happened_on_another() {
    let app = TestApp::start().await;
    let second = app.second().await;
    let alice = app.person("alice").await;
    let mut stream = watch(&app, &second.address.grpc, 0).await;
    let first = next(&mut stream).await;
    logout(&app, &alice).await;
    let told = until_told(&mut stream, &alice).await;
    assert!(!told.snapshot && told.version > first.version);
    // A version of one instance means the same on another.
    let mut here = watch(&app, &app.address.grpc, first.version).await;
    assert_eq!(until_told(&mut here, &alice).await.version, told.version);
}

#[tokio::test]
async fn reuse_a_changed_password_and_an_ended_session_are_told() {
    let app = TestApp::start().await;
    let mut stream = watch(&app, &app.address.grpc, 0).await;
    next(&mut stream).await;
    let stolen = app.person("alice").await;
    let second = app.refresh(&stolen.text("refresh_token")).await.expect(200);
    app.refresh(&second.text("refresh_token")).await.expect(200);
    app.refresh(&stolen.text("refresh_token")).await.expect(401);
    until_told(&mut stream, &stolen).await;

    let (here, there) = (app.login("alice").await.expect(200), app.login("alice").await.expect(200));
    let body = serde_json::json!({"current": crate::util::app::password_of("alice"), "new": "another password"});
    app.ask(Method::POST, "/v1/me/password", Some(&here.text("access_token")), Some(&body)).await.expect(204);
    let told = until_told(&mut stream, &there).await;
    assert!(!sessions(&told).contains(&session(&here)));

    let path = format!("/v1/me/sessions/{}", session(&here));
    app.ask(Method::DELETE, &path, Some(&here.text("access_token")), None).await.expect(204);
    until_told(&mut stream, &here).await;
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_told_again_and_watchers_get_a_snapshot() {
    let mut redis = RedisServer::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(redis.url.clone()), ..Options::default() }).await;
    let (alice, bob) = (app.person("alice").await, app.person("bob").await);
    let mut stream = watch(&app, &app.address.grpc, 0).await;
    next(&mut stream).await;
    logout(&app, &alice).await;
    let before = until_told(&mut stream, &alice).await;

    redis.kill();
    redis.revive().await;
    let after = within(Duration::from_secs(10), stream.message()).await.unwrap().unwrap();
    assert!(after.snapshot && after.version > before.version, "{after:?}");
    assert_eq!(sessions(&after), [session(&alice)], "what this instance knew is not forgotten");
    // Whoever comes with a version from before is told so too, on any instance.
    let mut late = watch(&app, &app.address.grpc, before.version).await;
    assert!(next(&mut late).await.snapshot);
    app.get("/v1/me", &alice.text("access_token")).await.expect(401);
    app.get("/v1/me", &bob.text("access_token")).await.expect(200);
    logout(&app, &bob).await;
    assert!(until_told(&mut stream, &bob).await.version > after.version);
}

#[tokio::test]
async fn a_stream_ends_with_its_callers_token() {
    let app = TestApp::start().await;
    let token = app.short_service_token(Duration::from_secs(3));
    let started = std::time::Instant::now();
    let request = bearing(WatchRevocationsRequest { since_version: 0 }, &token);
    let mut stream = app.grpc().await.watch_revocations(request).await.unwrap().into_inner();
    next(&mut stream).await;
    let status = within(Duration::from_secs(30), stream.message()).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "token_expired");
    assert!(started.elapsed() > Duration::from_millis(1_900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stop_in_good_order_ends_the_streams_and_is_quick() {
    let mut app = TestApp::start().await;
    let mut stream = watch(&app, &app.address.grpc, 0).await;
    next(&mut stream).await;
    let (status, ended) =
        tokio::join!(within(Duration::from_secs(5), stream.message()), app.program.terminate(Duration::from_secs(5)));
    expect(&status.unwrap_err(), Code::Unavailable, "unavailable");
    assert!(ended.unwrap().success());
}

#[tokio::test]
async fn a_watcher_that_does_not_read_costs_others_nothing() {
    let app = TestApp::start().await;
    let mut asleep = Vec::new();
    for _ in 0..20 {
        asleep.push(watch(&app, &app.address.grpc, 0).await);
    }
    let mut awake = watch(&app, &app.address.grpc, 0).await;
    next(&mut awake).await;
    app.register("alice").await.expect(201);
    let mut last = None;
    for _ in 0..10 {
        let person = app.login("alice").await.expect(200);
        logout(&app, &person).await;
        until_told(&mut awake, &person).await;
        last = Some(person);
    }
    // One that was asleep is told everything when it wakes.
    until_told(&mut asleep[0], &last.unwrap()).await;
}

async fn watch(app: &TestApp, address: &str, since_version: u64) -> Streaming<WatchRevocationsResponse> {
    wait::until(Duration::from_secs(5), "a stream of revocations", || async move {
        let request = app.as_service(WatchRevocationsRequest { since_version });
        Ok(Some(grpc(address).await.watch_revocations(request).await?.into_inner()))
    })
    .await
    .unwrap()
}

async fn next(stream: &mut Streaming<WatchRevocationsResponse>) -> WatchRevocationsResponse {
    within(SOON, stream.message()).await.unwrap().expect("the stream ended")
}

/// The first message that names this person's session.
async fn until_told(stream: &mut Streaming<WatchRevocationsResponse>, person: &Answer) -> WatchRevocationsResponse {
    let mut gathered: Option<WatchRevocationsResponse> = None;
    loop {
        let message = next(stream).await;
        let known = gathered.get_or_insert_default();
        known.snapshot |= message.snapshot;
        known.version = message.version;
        known.revocations.extend(message.revocations);
        if sessions(known).contains(&session(person)) {
            return known.clone();
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("nothing came in time")
}

async fn logout(app: &TestApp, person: &Answer) {
    app.ask(Method::POST, "/v1/logout", Some(&person.text("access_token")), None).await.expect(204);
}

fn session(person: &Answer) -> String {
    claims(&person.text("access_token"))["sid"].as_str().unwrap().to_owned()
}

fn sessions(message: &WatchRevocationsResponse) -> Vec<String> {
    message.revocations.iter().map(|Revocation { session_id, .. }| session_id.clone()).collect()
}
