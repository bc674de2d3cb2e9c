//! Wrong tokens in `connect`: forged, of another kind, or too old.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::keys::{Key, unix_seconds};
use e2e::rig::Rig;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Case, What};

fn forged(name: &'static str, token: impl Into<Value>) -> Case {
    Case::new(name, What::Token { token: token.into(), close: &[3500] }, &["unauthenticated"])
}

fn claims(rig: &Rig, change: &Value) -> Value {
    let now = unix_seconds();
    let mut all = json!({"iss": rig.issuer(), "aud": "parlor", "sub": Uuid::now_v7(), "sid": Uuid::now_v7(),
        "preferred_username": "mallory", "name": "Mallory", "iat": now, "exp": now + 600});
    for (name, value) in change.as_object().into_iter().flatten() {
        match (value, all.as_object_mut()) {
            (Value::Null, Some(all)) => drop(all.remove(name)),
            (value, Some(all)) => drop(all.insert(name.clone(), value.clone())),
            _ => {}
        }
    }
    all
}

/// All of them.
pub(super) fn cases(rig: &Rig) -> Result<Vec<Case>> {
    let good_header = json!({"alg": "EdDSA", "typ": "JWT", "kid": rig.key.kid});
    let signed = |header: &Value, change: Value| rig.key.sign(header, &claims(rig, &change));
    let with = |change: Value| signed(&good_header, change);
    let none = json!({});
    let unsigned = {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "none", "typ": "JWT", "kid": rig.key.kid});
        format!("{}.{}.", encode(&header), encode(&claims(rig, &none)))
    };
    let mut changed = with(none.clone());
    changed.replace_range(changed.len() - 4.., "AAAA");
    let other = Key::generate(&rig.key.kid)?;
    let expired = with(json!({"iat": unix_seconds() - 1_000, "exp": unix_seconds() - 400}));
    Ok(vec![
        forged("a token that is none", "hello"),
        forged("an empty token", ""),
        forged("a token without a signature", unsigned),
        forged("a changed signature", changed),
        forged("another key under a known name", other.sign(&good_header, &claims(rig, &none))),
        forged("an unknown key", signed(&json!({"alg": "EdDSA", "typ": "JWT", "kid": "nobody"}), none.clone())),
        forged("no name of a key", signed(&json!({"alg": "EdDSA", "typ": "JWT"}), none.clone())),
        forged("another algorithm", signed(&json!({"alg": "HS256", "typ": "JWT", "kid": rig.key.kid}), none.clone())),
        forged("another issuer", with(json!({"iss": "http://elsewhere"}))),
        forged("another audience", with(json!({"aud": "parlor-internal"}))),
        forged("no subject", with(json!({"sub": null}))),
        forged("a subject that is no user", with(json!({"sub": "root"}))),
        forged("no end", with(json!({"exp": null}))),
        forged("a service's token", rig.service_token("test", "rooms users")),
        Case::new("an expired token", What::Token { token: expired.into(), close: &[3005] }, &["token_expired"]),
        Case::new(
            "a token that is no text",
            What::Token { token: json!(7), close: &[3500, 3501] },
            &["invalid", "unauthenticated"],
        ),
    ])
}
