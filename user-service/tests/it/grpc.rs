//! `parlor.users.v1.Users` but for names and revocations, health and reflection.

use std::time::Duration;

use e2e::wait;
use proto::users::v1::{
    CreateInviteRequest, GetUsersRequest, ReserveNamesRequest, VerifyTokenRequest, WatchRevocationsRequest,
};
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;

use crate::accounts::claims;
use crate::util::TestApp;
use crate::util::app::bearing;

#[tokio::test]
async fn a_token_is_verified_with_its_session() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    let token = person.text("access_token");
    let mut client = app.grpc().await;
    for caller in [&app.service_token("users"), &app.service_token("rooms"), &token] {
        let message = VerifyTokenRequest { access_token: token.clone() };
        let answer = client.verify_token(bearing(message, caller)).await.unwrap().into_inner();
        let user = answer.user.unwrap();
        assert_eq!((user.id.as_str(), user.username.as_str()), (person.body["user"]["id"].as_str().unwrap(), "alice"));
        assert_eq!(json!(answer.session_id), claims(&token)["sid"]);
        assert_eq!(json!(answer.expires_at), claims(&token)["exp"]);
    }
    app.ask(reqwest::Method::POST, "/v1/logout", Some(&token), None).await.expect(204);
    let message = VerifyTokenRequest { access_token: token.clone() };
    let status = client.verify_token(app.as_service(message)).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "unauthenticated");
}

#[tokio::test]
async fn forged_and_expired_tokens_are_told_apart() {
    let app = TestApp::start().await;
    let other = e2e::keys::Key::generate("test-1").unwrap();
    let now = e2e::keys::unix_seconds();
    let id = "0198c5a0-0000-7000-8000-000000000000";
    let claims = |exp: u64| {
        json!({"iss": app.address.http, "aud": "parlor", "sub": id, "sid": id,
        "preferred_username": "eve", "name": "Eve", "iat": now - 700, "exp": exp})
    };
    let header = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let mut wrong_audience = claims(now + 60);
    wrong_audience["aud"] = json!("parlor-internal");
    let mut wrong_issuer = claims(now + 60);
    wrong_issuer["iss"] = json!("http://evil.example");
    let tokens = [
        ("token_expired", app.key.sign(&header("EdDSA", "test-1"), &claims(now - 1))),
        ("unauthenticated", other.sign(&header("EdDSA", "test-1"), &claims(now + 60))),
        ("unauthenticated", app.key.sign(&header("EdDSA", "unknown"), &claims(now + 60))),
        ("unauthenticated", app.key.sign(&header("none", "test-1"), &claims(now + 60))),
        ("unauthenticated", app.key.sign(&header("HS256", "test-1"), &claims(now + 60))),
        ("unauthenticated", app.key.sign(&header("EdDSA", "test-1"), &wrong_audience)),
        ("unauthenticated", app.key.sign(&header("EdDSA", "test-1"), &wrong_issuer)),
        (
            "unauthenticated",
            app.key.sign(&json!({"alg": "EdDSA", "kid": "test-1", "typ": "svc+jwt"}), &claims(now + 60)),
        ),
        ("unauthenticated", app.service_token("users")),
        ("unauthenticated", "x.y.z".to_owned()),
        ("unauthenticated", String::new()),
    ];
    let mut client = app.grpc().await;
    for (word, token) in tokens {
        let message = VerifyTokenRequest { access_token: token.clone() };
        let status = client.verify_token(app.as_service(message)).await.unwrap_err();
        expect(&status, Code::Unauthenticated, word);
        let answer = app.ask(reqwest::Method::GET, "/v1/me", Some(&token), None).await.expect(401);
        assert_eq!(answer.body["code"], word, "{token}");
    }
    let good = app.key.sign(&header("EdDSA", "test-1"), &claims(now + 60));
    client.verify_token(app.as_service(VerifyTokenRequest { access_token: good })).await.unwrap();
}

#[tokio::test]
async fn users_are_found_by_id_and_by_name() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await.expect(201).body["user"]["id"].as_str().unwrap().to_owned();
    app.register("bob").await.expect(201);
    let mut client = app.grpc().await;
    let mut find = async |ids: &[&str], usernames: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let message = GetUsersRequest { ids: own(ids), usernames: own(usernames) };
        client
            .get_users(app.as_service(message))
            .await
            .map(|answer| answer.into_inner().users.into_iter().map(|user| user.username).collect::<Vec<_>>())
    };
    assert_eq!(find(&[&alice], &["bob", "nobody", "alice"]).await.unwrap(), ["alice", "bob"]);
    assert_eq!(find(&["0198c5a0-0000-7000-8000-000000000000"], &[]).await.unwrap(), Vec::<String>::new());
    assert_eq!(find(&[], &[]).await.unwrap(), Vec::<String>::new());
    expect(&find(&["no-id"], &[]).await.unwrap_err(), Code::InvalidArgument, "invalid");
    expect(&find(&[], &["No Name"]).await.unwrap_err(), Code::InvalidArgument, "invalid");
    expect(&find(&[], &["a\u{0}"]).await.unwrap_err(), Code::InvalidArgument, "invalid");
    expect(&find(&[alice.as_str(); 501], &[]).await.unwrap_err(), Code::InvalidArgument, "invalid");
    assert_eq!(find(&[alice.as_str(); 500], &[]).await.unwrap(), ["alice"]);
}

#[tokio::test]
async fn only_a_service_with_the_scope_may_ask_about_others() {
    let app = TestApp::start().await;
    let person = app.person("alice").await.text("access_token");
    let mut client = app.grpc().await;
    let callers = [
        (None, Code::Unauthenticated, "unauthenticated"),
        (Some(person), Code::PermissionDenied, "forbidden"),
        (Some(app.service_token("rooms")), Code::PermissionDenied, "forbidden"),
        (Some("nonsense".to_owned()), Code::Unauthenticated, "unauthenticated"),
    ];
    for (token, code, word) in callers {
        fn request<T>(message: T, token: Option<&String>) -> Request<T> {
            match token {
                Some(token) => bearing(message, token),
                None => Request::new(message),
            }
        }
        let token = token.as_ref();
        let status = client.get_users(request(GetUsersRequest::default(), token)).await.unwrap_err();
        expect(&status, code, word);
        let status = client.reserve_names(request(ReserveNamesRequest::default(), token)).await.unwrap_err();
        expect(&status, code, word);
        let status = client.create_invite(request(CreateInviteRequest::default(), token)).await.unwrap_err();
        expect(&status, code, word);
        let status = client.watch_revocations(request(WatchRevocationsRequest::default(), token)).await.unwrap_err();
        expect(&status, code, word);
    }
    let status = client.verify_token(Request::new(VerifyTokenRequest::default())).await.unwrap_err();
    expect(&status, Code::Unauthenticated, "unauthenticated");
}

#[tokio::test]
async fn names_and_lives_out_of_range_are_refused() {
    let app = TestApp::start().await;
    let mut client = app.grpc().await;
    for names in [vec!["No Name".to_owned()], vec![String::new()], vec!["alice".to_owned(); 501]] {
        let status = client.reserve_names(app.as_service(ReserveNamesRequest { usernames: names })).await.unwrap_err();
        expect(&status, Code::InvalidArgument, "invalid");
    }
    for (username, ttl_seconds) in [("No Name", 0), ("", u64::MAX), ("", 366 * 24 * 3600)] {
        let message = CreateInviteRequest { username: username.to_owned(), ttl_seconds };
        let status = client.create_invite(app.as_service(message)).await.unwrap_err();
        expect(&status, Code::InvalidArgument, "invalid");
    }
}

#[tokio::test]
async fn grpc_tells_its_health_and_describes_itself() {
    let app = TestApp::start().await;
    let channel = Channel::from_shared(app.address.grpc.clone()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "parlor.users.v1.Users"] {
        wait::until(Duration::from_secs(5), "serving", || {
            let mut health = health.clone();
            async move {
                let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
                Ok((answer.status() == ServingStatus::Serving).then_some(()))
            }
        })
        .await
        .unwrap();
    }
    let status = health.check(HealthCheckRequest { service: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    let mut reflection = ServerReflectionClient::new(channel);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "parlor.users.v1.Users"]);
}

/// The canonical code, and our word as its reason.
#[track_caller]
pub(crate) fn expect(status: &Status, code: Code, word: &str) {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), reason.as_deref()), (code, Some(word)), "{status:?}");
}
