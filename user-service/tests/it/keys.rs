//! Signing keys: published, rotated without signing anybody out.

use std::time::Duration;

use e2e::keys::Key;
use e2e::wait;
use reqwest::Method;
use serde_json::{Value, json};

use crate::util::{Answer, TestApp};

#[tokio::test]
async fn the_public_keys_are_published_and_no_private_part() {
    let app = TestApp::start().await;
    let answer = app.ask(Method::GET, "/.well-known/jwks.json", None, None).await.expect(200);
    assert!(answer.header("cache-control").contains("max-age"));
    let keys = answer.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    let expected = json!({"kty": "OKP", "crv": "Ed25519", "kid": "test-1", "alg": "EdDSA", "use": "sig"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&keys[0][name], value, "{name}");
    }
    assert_eq!(keys[0]["x"].as_str().unwrap().len(), 43);
    assert!(keys[0].get("d").is_none());
}

#[tokio::test]
async fn a_new_key_signs_within_seconds_and_nobody_is_signed_out() {
    let app = TestApp::start().await;
    let before = app.person("alice").await;
    assert_eq!(kid(&before), "test-1");
    // The age of a file is told in whole steps of its file system's clock.
    tokio::time::sleep(Duration::from_millis(20)).await;
    Key::generate("test-2").unwrap().write(&app.keys()).unwrap();
    let after = wait::until(Duration::from_secs(20), "the new key signs", || async {
        let answer = app.login("alice").await.expect(200);
        Ok((kid(&answer) == "test-2").then_some(answer))
    })
    .await
    .unwrap();
    let published = app.ask(Method::GET, "/.well-known/jwks.json", None, None).await.expect(200);
    let mut kids: Vec<_> = published.body["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    kids.sort_by_key(Value::to_string);
    assert_eq!(kids, [json!("test-1"), json!("test-2")]);
    for answer in [&before, &after] {
        app.get("/v1/me", &answer.text("access_token")).await.expect(200);
    }
    let next = app.refresh(&before.text("refresh_token")).await.expect(200);
    assert_eq!(kid(&next), "test-2");
}

#[tokio::test]
async fn a_broken_file_in_the_key_folder_changes_nothing() {
    let app = TestApp::start().await;
    let person = app.person("alice").await;
    std::fs::write(app.keys().join("broken.pem"), "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
        .unwrap();
    std::fs::write(app.keys().join("readme.txt"), "no key").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(kid(&app.login("alice").await.expect(200)), "test-1");
    app.get("/v1/me", &person.text("access_token")).await.expect(200);
    assert!(app.program.log().contains("broken.pem"), "the log names the file");
}

fn kid(answer: &Answer) -> String {
    use base64::Engine;
    let token = answer.text("access_token");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&bytes).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
