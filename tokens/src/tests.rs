//! Good tokens and all the ways to forge one.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::keys::KeysError;

const ISSUER: &str = "http://localhost:8081";

/// A new key in a folder, as `xtask` writes it; gives the pair to forge with.
pub(crate) fn write_key(folder: &Path, kid: &str) -> Ed25519KeyPair {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    std::fs::write(folder.join(format!("{kid}.pem")), pem).unwrap();
    Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap()
}

/// Sets how old a key is.
pub(crate) fn age(folder: &Path, kid: &str, seconds: u64) {
    let file = std::fs::File::options().write(true).open(folder.join(format!("{kid}.pem"))).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

pub(crate) fn claims() -> PersonClaims {
    let now = OffsetDateTime::now_utc();
    PersonClaims {
        issuer: ISSUER.to_owned(),
        user: Uuid::now_v7(),
        session: Uuid::now_v7(),
        username: "alice".to_owned(),
        display_name: "Alice A.".to_owned(),
        issued_at: now,
        expires_at: now + Duration::from_mins(10),
    }
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A token with exactly this header and payload.
fn forge(pair: &Ed25519KeyPair, header: &Value, payload: &Value) -> String {
    let signed = format!("{}.{}", encode(&header.to_string()), encode(&payload.to_string()));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
}

struct Setup {
    folder: tempfile::TempDir,
    pair: Ed25519KeyPair,
    keys: Keys,
    verifier: Verifier,
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let pair = write_key(folder.path(), "k1");
    let keys = Keys::load(folder.path()).unwrap();
    let verifier = Verifier::local(keys.clone(), ISSUER);
    Setup { folder, pair, keys, verifier }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"})
}

fn payload() -> Value {
    json!({"iss": ISSUER, "aud": "parlor", "sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "preferred_username": "alice",
        "name": "Alice", "iat": now(), "exp": now() + 600})
}

/// `value` with one field set, or removed by `null`.
fn with(mut value: Value, field: &str, to: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    if to.is_null() {
        object.remove(field);
    } else {
        object.insert(field.to_owned(), to);
    }
    value
}

#[tokio::test]
async fn a_person_is_who_the_token_was_made_for() {
    let Setup { keys, verifier, .. } = setup();
    let claims = claims();
    let person = verifier.person(&keys.sign_person(&claims).unwrap()).await.unwrap();
    assert_eq!((person.user, person.session), (claims.user, claims.session));
    assert_eq!((person.username.as_str(), person.display_name.as_str()), ("alice", "Alice A."));
    assert_eq!(person.expires_at.unix_timestamp(), claims.expires_at.unix_timestamp());
}

#[tokio::test]
async fn a_service_needs_the_scope() {
    let Setup { keys, verifier, .. } = setup();
    let token = keys.sign_service(ISSUER, "operator", &["rooms", "presence"], Duration::from_mins(10)).unwrap();
    let service = verifier.service(&token, "rooms").await.unwrap();
    assert_eq!(
        (service.name.as_str(), service.scopes.as_slice()),
        ("operator", &["rooms".to_owned(), "presence".to_owned()][..])
    );
    assert_eq!(verifier.service(&token, "users").await, Err(TokenError::Scope));
    assert_eq!(verifier.service(&token, "room").await, Err(TokenError::Scope));
}

#[tokio::test]
async fn a_token_as_xtask_writes_it_is_good() {
    let Setup { pair, verifier, .. } = setup();
    let header = json!({"alg": "EdDSA", "typ": "svc+jwt", "kid": "k1"});
    let payload = json!({"iss": ISSUER, "aud": "parlor-internal", "sub": "svc:local", "scope": "rooms presence users",
        "iat": now(), "exp": now() + 86_400});
    let service = verifier.service(&forge(&pair, &header, &payload), "users").await.unwrap();
    assert_eq!(service.name, "local");
}

#[tokio::test]
async fn a_persons_token_is_no_services_and_the_other_way_round() {
    let Setup { keys, verifier, .. } = setup();
    let person = keys.sign_person(&claims()).unwrap();
    let service = keys.sign_service(ISSUER, "operator", &["rooms"], Duration::from_mins(10)).unwrap();
    assert_eq!(verifier.service(&person, "rooms").await, Err(TokenError::Invalid("it is of another kind")));
    assert_eq!(verifier.person(&service).await, Err(TokenError::Invalid("it is of another kind")));
}

#[tokio::test]
async fn what_is_not_exactly_ours_is_refused_though_it_is_signed() {
    let Setup { pair, verifier, .. } = setup();
    verifier.person(&forge(&pair, &header(), &payload())).await.unwrap();
    let headers = [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("eddsa")),
        ("alg", Value::Null),
        ("typ", json!("at+jwt")),
        ("typ", Value::Null),
        ("kid", json!("k2")),
        ("kid", json!("")),
        ("kid", json!("../k1")),
        ("kid", Value::Null),
        ("crit", json!(["exp"])),
    ];
    for (field, to) in headers {
        let token = forge(&pair, &with(header(), field, to.clone()), &payload());
        let answer = verifier.person(&token).await;
        assert!(matches!(answer, Err(TokenError::Invalid(_))), "{field} {to}: {answer:?}");
    }
    let payloads = [
        ("iss", json!("http://localhost:8082")),
        ("iss", Value::Null),
        ("aud", json!("parlor-internal")),
        ("aud", json!(["parlor"])),
        ("aud", Value::Null),
        ("sub", json!("svc:operator")),
        ("sub", Value::Null),
        ("sid", json!("no id")),
        ("sid", Value::Null),
        ("preferred_username", Value::Null),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("iat", json!(now() + 60)),
        ("nbf", json!(now() + 60)),
    ];
    for (field, to) in payloads {
        let answer = verifier.person(&forge(&pair, &header(), &with(payload(), field, to.clone()))).await;
        assert!(matches!(answer, Err(TokenError::Invalid(_))), "{field} {to}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_good_up_to_its_last_second() {
    let Setup { pair, verifier, .. } = setup();
    for (end, answer) in [(now() - 1, false), (now(), false), (now() + 3, true)] {
        let token = forge(&pair, &header(), &with(payload(), "exp", json!(end)));
        let found = verifier.person(&token).await;
        assert!(if answer { found.is_ok() } else { found == Err(TokenError::Expired) }, "{end}: {found:?}");
    }
    // The clock of who signs may be a little ahead.
    verifier.person(&forge(&pair, &header(), &with(payload(), "iat", json!(now() + 3)))).await.unwrap();
}

#[tokio::test]
async fn a_changed_token_and_another_key_are_refused() {
    let Setup { keys, verifier, .. } = setup();
    let token = keys.sign_person(&claims()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let changed = encode(&payload().to_string());
    let stranger = tempfile::tempdir().unwrap();
    let other = write_key(stranger.path(), "k1");
    let tokens = [
        format!("{}.{changed}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}."),
        format!("{token}="),
        format!("{token}.{}", parts[2]),
        format!(" {token}"),
        String::new(),
        "..".to_owned(),
        forge(&other, &header(), &payload()),
        // Without a signature and with an algorithm that asks for none.
        format!("{}.{}.", encode(r#"{"alg":"none","typ":"JWT","kid":"k1"}"#), parts[1]),
        format!("{token}{}", "A".repeat(8 * 1024)),
    ];
    for token in tokens {
        let answer = verifier.person(&token).await;
        assert!(matches!(answer, Err(TokenError::Invalid(_))), "{token}: {answer:?}");
    }
}

#[tokio::test]
async fn names_that_come_twice_are_refused() {
    let Setup { pair, verifier, .. } = setup();
    let header = r#"{"alg":"EdDSA","typ":"JWT","typ":"JWT","kid":"k1"}"#;
    let signed = format!("{}.{}", encode(header), encode(&payload().to_string()));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
    assert!(matches!(verifier.person(&token).await, Err(TokenError::Invalid(_))));
}

#[tokio::test]
async fn a_new_key_signs_the_old_one_still_verifies_and_a_removed_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    write_key(folder.path(), "old");
    age(folder.path(), "old", 3600);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let keys = Keys::watch(folder.path(), shutdown).unwrap();
    let verifier = Verifier::local(keys.clone(), ISSUER);
    let old = keys.sign_person(&claims()).unwrap();

    write_key(folder.path(), "new");
    let kids = |keys: &Keys| -> Vec<String> {
        keys.jwks()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    until(|| kids(&keys) == ["new", "old"]).await;
    let new = keys.sign_person(&claims()).unwrap();
    assert!(URL_SAFE_NO_PAD.decode(new.split('.').next().unwrap()).unwrap().windows(5).any(|part| part == b"\"new\""));
    verifier.person(&old).await.unwrap();
    verifier.person(&new).await.unwrap();

    std::fs::remove_file(folder.path().join("old.pem")).unwrap();
    until(|| kids(&keys) == ["new"]).await;
    assert_eq!(verifier.person(&old).await, Err(TokenError::Invalid("its key is not known")));
}

#[tokio::test]
async fn a_broken_file_drops_no_key() {
    let Setup { folder, keys, verifier, .. } = setup();
    let token = keys.sign_person(&claims()).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let keys = Keys::watch(folder.path(), shutdown).unwrap();
    let watched = Verifier::local(keys.clone(), ISSUER);
    std::fs::write(folder.path().join("k1.pem"), "half a k").unwrap();
    std::fs::write(folder.path().join("k2.pem"), "no key at all").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    watched.person(&token).await.unwrap();
    verifier.person(&keys.sign_person(&claims()).unwrap()).await.unwrap();
    // Nor does an empty folder.
    std::fs::remove_file(folder.path().join("k1.pem")).unwrap();
    std::fs::remove_file(folder.path().join("k2.pem")).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    watched.person(&token).await.unwrap();
}

#[test]
fn a_folder_without_keys_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("readme.txt"), "no key").unwrap();
    let error = Keys::load(folder.path()).unwrap_err();
    assert!(matches!(error, KeysError::NoKey(_)) && error.to_string().contains("openssl genpkey"), "{error}");
    assert!(matches!(Keys::load(folder.path().join("none")).unwrap_err(), KeysError::Folder(..)));
}

#[tokio::test]
async fn keys_of_texts_sign_with_the_last_name_and_skip_what_is_no_key() {
    let texts = [("1", keys::generate().unwrap()), ("2", keys::generate().unwrap()), ("3", "no key".to_owned())];
    let keys = Keys::of(texts.map(|(kid, text)| (kid.to_owned(), text))).unwrap();
    assert_eq!(keys.jwks()["keys"].as_array().unwrap().len(), 2);
    let token = keys.sign_service(ISSUER, "operator", &["rooms"], Duration::from_mins(1)).unwrap();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["kid"], "2");
    let service = Verifier::local(keys, ISSUER).service(&token, "rooms").await.unwrap();
    assert_eq!((service.name.as_str(), service.scopes), ("operator", vec!["rooms".to_owned()]));
    assert!(matches!(Keys::of([]).unwrap_err(), KeysError::NoKeyGiven));
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to hold within 10 s");
}
