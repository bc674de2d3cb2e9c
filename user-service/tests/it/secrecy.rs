//! No log line holds a password or a token, on any path, at any level.

use reqwest::Method;
use serde_json::json;

use crate::util::app::{bearing, password_of};
use crate::util::{Options, TestApp};
use proto::users::v1::{CreateInviteRequest, VerifyTokenRequest};

#[tokio::test]
async fn no_log_line_holds_a_password_or_a_token() {
    let app = TestApp::start_with(Options { log: "trace", ..Options::default() }).await;
    let mut secrets = vec![password_of("alice"), "a-wrong-password-Qq7".to_owned(), "new-password-Ww8".to_owned()];
    let first = app.person("alice").await;
    app.post("/v1/login", &json!({"username": "alice", "password": secrets[1]})).await.expect(401);
    app.post("/v1/register", &json!({"username": "Bad Name", "password": secrets[1]})).await.expect(422);
    app.post("/v1/login", &json!({"username": "alice", "password": secrets[1], "device": 7})).await.expect(422);
    let second = app.refresh(&first.text("refresh_token")).await.expect(200);
    let cookie =
        app.post("/v1/login", &json!({"username": "alice", "password": secrets[0], "cookie": true})).await.expect(200);
    secrets.push(cookie.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned());
    for answer in [&first, &second] {
        secrets.push(answer.text("refresh_token"));
        // The signature alone would already be too much.
        secrets.push(answer.text("access_token").rsplit('.').next().unwrap().to_owned());
    }
    let token = second.text("access_token");
    app.get(&format!("/v1/me?access_token={token}"), &token).await.expect(200);
    app.get("/v1/me", "not-a-token-Ee9").await.expect(401);
    secrets.push("not-a-token-Ee9".to_owned());
    let body = json!({"current": secrets[0], "new": secrets[2]});
    app.ask(Method::POST, "/v1/me/password", Some(&token), Some(&body)).await.expect(204);

    let mut grpc = app.grpc().await;
    let service = app.service_token("users");
    let message = VerifyTokenRequest { access_token: token.clone() };
    grpc.verify_token(bearing(message, &service)).await.unwrap();
    grpc.verify_token(bearing(VerifyTokenRequest { access_token: "wrong-Rr1".to_owned() }, "wrong-Tt2"))
        .await
        .unwrap_err();
    let invite = grpc.create_invite(app.as_service(CreateInviteRequest::default())).await.unwrap().into_inner().invite;
    let body = json!({"username": "bob", "password": secrets[1], "invite": invite});
    app.post("/v1/register", &body).await.expect(201);
    secrets.extend([
        service.rsplit('.').next().unwrap().to_owned(),
        "wrong-Rr1".to_owned(),
        "wrong-Tt2".to_owned(),
        invite,
    ]);
    // A token of the family, used up, so that the path of reuse logs too.
    app.refresh(&second.text("refresh_token")).await.expect(200);
    app.refresh(&first.text("refresh_token")).await.expect(401);

    let database_password = app.database.url.split([':', '@']).nth(2).unwrap().to_owned();
    secrets.push(database_password);
    let log = app.program.log();
    assert!(log.contains("/v1/login") && log.contains("used refresh token"), "the log was written:\n{log}");
    for secret in secrets {
        assert!(secret.len() > 8 && !log.contains(&secret), "the log holds {secret}");
    }
}
