//! `POST /v1/register`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::util::{Options, TestApp};

#[tokio::test]
async fn a_person_registers_and_the_name_is_theirs() {
    let app = TestApp::start().await;
    let body = json!({"username": "alice", "password": "correct horse", "display_name": "Alice A. 🦀", "email": "a@b.example"});
    let answer = app.post("/v1/register", &body).await.expect(201);
    let user = &answer.body["user"];
    assert_eq!((&user["username"], &user["display_name"]), (&json!("alice"), &json!("Alice A. 🦀")));
    let id: Uuid = user["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);

    app.register("alice").await.expect_problem(409, "conflict", Some("username_taken"));
    let answer = app.register("bob").await.expect(201);
    assert_eq!(answer.body["user"]["display_name"], "bob", "without a name to show it is the username");
}

#[tokio::test]
async fn two_who_want_one_name_at_the_same_time_do_not_both_get_it() {
    let app = TestApp::start().await;
    let answers = futures::future::join_all((0..8).map(|_| app.register("alice"))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_field_that_breaks_its_rule_is_named() {
    let app = TestApp::start().await;
    let long = "x".repeat(257);
    let wrong: [(&str, Value); 17] = [
        ("username", json!({"username": ""})),
        ("username", json!({"username": "Alice"})),
        ("username", json!({"username": "-alice"})),
        ("username", json!({"username": "al ice"})),
        ("username", json!({"username": "älice"})),
        ("username", json!({"username": "a\u{0}b"})),
        ("username", json!({"username": "a".repeat(33)})),
        ("password", json!({"password": "1234567"})),
        ("password", json!({"password": long})),
        ("display_name", json!({"display_name": ""})),
        ("display_name", json!({"display_name": " "})),
        ("display_name", json!({"display_name": "a\nb"})),
        ("display_name", json!({"display_name": "a\u{0}b"})),
        ("display_name", json!({"display_name": "x".repeat(65)})),
        ("email", json!({"email": "nobody"})),
        ("email", json!({"email": "a@b\u{0}"})),
        ("email", json!({"email": format!("{}@b.example", "a".repeat(250))})),
    ];
    for (field, change) in wrong {
        let mut body = json!({"username": "alice", "password": "correct horse"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = app.post("/v1/register", &body).await.expect_problem(422, "invalid", Some(field));
        assert!(answer.text("detail").contains(field), "{}", answer.body);
    }
    let answer = app.post("/v1/register", &json!({"password": "correct horse"})).await;
    assert!(answer.expect(422).text("detail").contains("username"), "a field that is missing is named too");
    app.register("alice").await.expect(201);
}

#[tokio::test]
async fn passwords_may_be_of_8_to_256_characters_of_any_script() {
    let app = TestApp::start().await;
    for (name, password) in
        [("a", "12345678".to_owned()), ("b", "é".repeat(256)), ("c", "日本語のパスワード".to_owned())]
    {
        let body = json!({"username": name, "password": password});
        app.post("/v1/register", &body).await.expect(201);
        app.post("/v1/login", &body).await.expect(200);
    }
}

#[tokio::test]
async fn closed_registration_lets_nobody_in_whatever_they_bring() {
    let app = TestApp::start_with(Options { registration: "Closed", ..Options::default() }).await;
    app.register("alice").await.expect_problem(403, "forbidden", Some("registration_closed"));
    let body = json!({"username": "alice", "password": "correct horse", "invite": "x"});
    app.post("/v1/register", &body).await.expect_problem(403, "forbidden", Some("registration_closed"));
}
