//! Health, metrics, the documents, and the end.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::users::v1::VerifyTokenRequest;
use proto::users::v1::users_client::UsersClient;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::util::app::{Tls, password_of};
use crate::util::{Options, TestApp};

#[tokio::test]
async fn metrics_tell_what_happened_with_their_units() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    app.refresh(&person.text("refresh_token")).await.expect(200);
    app.refresh("nonsense").await.expect(401);
    let metrics = app.client.get(format!("{}/metrics", app.address.health)).send().await.unwrap().text().await.unwrap();
    for line in [
        "parlor_users_registrations_total 1",
        r#"parlor_users_logins_total{outcome="granted"} 1"#,
        r#"parlor_users_refreshes_total{outcome="granted"} 1"#,
        r#"parlor_users_refreshes_total{outcome="refused"} 1"#,
        "parlor_users_password_hash_seconds",
        "# HELP parlor_users_revocations ",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn the_document_describes_every_route_that_is_there() {
    let app = TestApp::start().await;
    let document = app.ask(Method::GET, "/openapi.json", None, None).await.expect(200).body;
    assert_eq!(app.ask(Method::GET, "/users/openapi.json", None, None).await.expect(200).body, document);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let described: Vec<(&str, &str)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.as_str(), path.as_str())))
        .collect();
    let expected = [
        ("get", "/.well-known/jwks.json"),
        ("post", "/v1/login"),
        ("post", "/v1/logout"),
        ("get", "/v1/me"),
        ("patch", "/v1/me"),
        ("post", "/v1/me/password"),
        ("get", "/v1/me/sessions"),
        ("delete", "/v1/me/sessions/{id}"),
        ("post", "/v1/refresh"),
        ("post", "/v1/register"),
    ];
    assert_eq!(described.len(), expected.len(), "{described:?}");
    let mut ids = BTreeSet::new();
    for (method, path) in expected {
        assert!(described.contains(&(method, path)), "{method} {path}");
        let verb: Method = method.to_uppercase().parse().unwrap();
        let answer = app.ask(verb, &path.replace("{id}", "x"), None, None).await;
        assert!(!matches!(answer.status, 404 | 405), "{method} {path} is not there");
        let operation = &document["paths"][path][method];
        assert!(operation["responses"]["default"].is_object(), "{method} {path} may answer a problem");
        assert!(ids.insert(operation["operationId"].to_string()), "{method} {path} shares its id");
    }
    assert_eq!(document["paths"]["/v1/refresh"]["post"]["requestBody"]["required"], false);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in [
        "Registration",
        "Login",
        "Refresh",
        "Tokens",
        "Me",
        "Change",
        "PasswordChange",
        "SessionList",
        "ProblemDocument",
    ] {
        assert!(schemas.contains_key(name), "{name}");
    }
    assert_eq!(document["paths"]["/v1/me"]["get"]["security"][0]["bearer"], serde_json::json!([]));
}

#[tokio::test]
async fn answers_have_the_fields_that_the_document_names() {
    let app = TestApp::start().await;
    let document = app.ask(Method::GET, "/openapi.json", None, None).await.expect(200).body;
    let registered = app.register("alice").await.expect(201);
    let tokens = app.login("alice").await.expect(200);
    let token = tokens.text("access_token");
    let sessions = app.get("/v1/me/sessions", &token).await.expect(200);
    for (schema, value) in [
        ("Registered", &registered.body),
        ("User", &registered.body["user"]),
        ("Tokens", &tokens.body),
        ("Me", &app.get("/v1/me", &token).await.expect(200).body),
        ("SessionList", &sessions.body),
        ("Session", &sessions.body["sessions"][0]),
        ("ProblemDocument", &app.register("alice").await.expect(409).body),
    ] {
        let described = &document["components"]["schemas"][schema];
        let named = |part: &Value| part.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(named(value), named(&described["properties"]), "{schema}");
        for (field, value) in value.as_object().unwrap() {
            let kind = match value {
                Value::String(_) => "string",
                Value::Number(_) => "integer",
                Value::Bool(_) => "boolean",
                Value::Array(_) => "array",
                Value::Null => "null",
                Value::Object(_) => "$ref",
            };
            assert!(described["properties"][field].to_string().contains(kind), "{schema}.{field} is no {kind}");
        }
    }
}

#[tokio::test]
async fn over_tls_both_edges_work() {
    let tls = Tls::generate();
    let authority = Certificate::from_pem(&tls.certificate);
    let app = TestApp::start_with(Options { tls: Some(tls), ..Options::default() }).await;
    let token = app.person("alice").await.text("access_token");
    app.get("/v1/me", &token).await.expect(200);
    let body = json!({"username": "alice", "password": password_of("alice"), "cookie": true});
    assert!(app.post("/v1/login", &body).await.expect(200).header("set-cookie").contains("Secure"));

    let trust = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
    let channel = Channel::from_shared(app.address.grpc.clone()).unwrap().tls_config(trust).unwrap();
    let mut users = UsersClient::new(channel.connect().await.unwrap());
    let message = VerifyTokenRequest { access_token: token };
    let answer = users.verify_token(app.as_service(message)).await.unwrap().into_inner();
    assert_eq!(answer.user.unwrap().username, "alice");
}

#[tokio::test]
async fn a_signal_ends_it_in_good_order() {
    let mut app = TestApp::start().await;
    app.person("alice").await;
    let status = app.program.terminate(Duration::from_secs(5)).await.unwrap();
    assert!(status.success(), "{status}\n{}", app.program.log_tail());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let app = TestApp::start().await;
    let port = app.address.http.rsplit(':').next().unwrap().to_owned();
    let args =
        ["--http".to_owned(), format!("127.0.0.1:{port}"), "--keys".to_owned(), app.keys().display().to_string()];
    let env = [("DATABASE_URL", app.database.url.clone()), ("REDIS_URL", app.redis.url.clone())];
    let binary = e2e::program::built("user-service").unwrap();
    let mut second = e2e::program::Program::spawn(binary, args, env).unwrap();
    second.wait_ready("http://127.0.0.1:1/").await.unwrap_err();
    let log = second.log();
    assert!(log.contains(&format!("failed to listen on 127.0.0.1:{port}")), "{log}");
}
