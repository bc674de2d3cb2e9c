//! No log line ever holds a password or a token, whatever is sent and wherever it is put by mistake.

use std::time::Duration;

use e2e::rig::Rig;
use e2e::socket::Socket;
use serde_json::{Value, json};

const ROOM: &str = "team-a/general";

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_ever_holds_a_password_or_a_token() {
    let mut rig = Rig::new().await.unwrap();
    // Ours say all they have to say; the libraries speak at debug, where headers and statements would show.
    rig.env.push((
        "RUST_LOG",
        "debug,chat_service=trace,user_service=trace,operator=trace,service=trace,tokens=trace".into(),
    ));
    rig.start_users().await.unwrap();
    rig.write_room(ROOM, &json!({"members": [{"user": "anna", "role": "Owner"}]})).unwrap();
    rig.start_gateway(&rig.wiring()).await.unwrap();
    let mut anna = rig.register("anna").await.unwrap();
    rig.start_operator().await.unwrap();
    rig.rooms_ready(1, Duration::from_secs(30)).await.unwrap();
    let users = rig.issuer();
    let mut secrets = vec![anna.password.clone(), anna.access_token.clone(), anna.refresh_token.clone()];

    // The ordinary day.
    let (mut socket, _) = Socket::connect(&rig.gateway(0).socket, &anna.access_token).await.unwrap();
    socket.said(ROOM, "hello").await.unwrap();
    anna.refresh(&rig.http, &users).await.unwrap();
    secrets.extend([anna.access_token.clone(), anna.refresh_token.clone()]);
    socket.ok("refresh", json!({"token": anna.access_token})).await.unwrap();
    let new = "the next password of anna";
    let body = json!({"current": anna.password, "new": new});
    let post = |path: &str, body: Value| rig.http.post(format!("{users}{path}")).json(&body);
    let answer = post("/v1/me/password", body).bearer_auth(&anna.access_token).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    secrets.push(new.to_owned());

    // By mistake: a password as a number, as a name, in a body that is cut off, beside a wrong one; tokens in an address,
    // in another scheme, in a frame that is none.
    let numeric = 847_362_519_273_u64;
    post("/v1/register", json!({"username": "x", "password": numeric})).send().await.unwrap();
    secrets.push(numeric.to_string());
    let misplaced = "my-password-in-the-wrong-field";
    post("/v1/login", json!({"username": misplaced, "password": "wrong-password-of-nobody"})).send().await.unwrap();
    secrets.extend([misplaced.to_owned(), "wrong-password-of-nobody".to_owned()]);
    let cut_off = r#"{"username":"x","password":"password-in-a-body-cut-off"#;
    let request = rig.http.post(format!("{users}/v1/login")).header("content-type", "application/json").body(cut_off);
    request.send().await.unwrap();
    secrets.push("password-in-a-body-cut-off".to_owned());
    let gateway = &rig.gateway(0).http;
    for url in [
        format!("{gateway}/v1/ws?token={}", anna.access_token),
        format!("{gateway}/v1/rooms?access_token={}", anna.access_token),
        format!("{users}/v1/me?access_token={}", anna.access_token),
        format!("{gateway}/v1/{}", anna.access_token),
    ] {
        rig.http.get(url).send().await.unwrap();
    }
    let basic = rig.http.get(format!("{gateway}/v1/rooms")).basic_auth("anna", Some(new));
    basic.send().await.unwrap();
    for text in [
        format!("token {}", anna.access_token),
        json!({"id": 1, "connect": {"token": {"nested": anna.access_token}}}).to_string(),
        json!({"id": 1, "connect": {"token": anna.access_token, "rooms": "none"}}).to_string(),
    ] {
        let mut socket = Socket::open(&rig.gateway(0).socket, None).await.unwrap();
        socket.send_text(text).await.unwrap();
        socket.read(Duration::from_secs(10)).await.unwrap();
    }
    let forged = format!("{}x", anna.access_token);
    let mut socket = Socket::open(&rig.gateway(0).socket, None).await.unwrap();
    socket.err("connect", json!({"token": forged})).await.unwrap();

    // What the programs were given themselves.
    let wiring = rig.wiring();
    for url in [&wiring.database_url, &wiring.amqp_url, &wiring.redis_url, &wiring.management_url, &rig.vhost.admin_url]
    {
        let password = url.split("://").nth(1).and_then(|rest| rest.split(['@', ':']).nth(1)).unwrap();
        secrets.push(password.to_owned());
    }
    secrets.push(std::fs::read_to_string(&wiring.token_file).unwrap());

    let logs = rig.logs();
    assert!(logs.lines().count() > 100, "so little was logged that this shows nothing: {logs}");
    let mut found: Vec<String> = Vec::new();
    for secret in secrets {
        assert!(secret.len() >= 12, "too short to search for");
        found.extend(logs.lines().filter(|line| line.contains(&secret)).map(str::to_owned));
    }
    // Any signed token, in whole or with its signature cut off.
    found.extend(logs.lines().filter(|line| line.contains("eyJhbGciOi")).map(str::to_owned));
    assert!(found.is_empty(), "{} lines hold a secret, as\n{}", found.len(), found[0]);
}
