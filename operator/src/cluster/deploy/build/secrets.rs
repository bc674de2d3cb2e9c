//! The Secrets that the programs read: addresses with user and password, keys and tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Kind, Object, Platform, hash};

/// Secret of the signing keys. It outlives the platform: with it all tokens would go.
pub(crate) const KEYS: &str = "keys";
/// Secret of the service tokens.
pub(crate) const TOKENS: &str = "service-tokens";
/// Secret of what chat-service reads from its environment.
pub(super) const CHAT: &str = "chat";
/// Secret of what user-service reads from its environment.
pub(super) const USERS: &str = "users";
/// Secret of the certificate authorities.
pub(super) const AUTHORITIES: &str = "authorities";
/// Key of the certificate authorities.
pub(super) const AUTHORITIES_FILE: &str = "ca.crt";

/// From the Secrets that the spec names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// RabbitMQ over AMQP as the services' user, with the virtual host.
    pub(crate) amqp_urls: Vec<String>,
    /// RabbitMQ's management as the services' user.
    pub(crate) management_url: String,
    /// PostgreSQL.
    pub(crate) database_url: String,
    /// Redis.
    pub(crate) redis_url: String,
    /// Certificate authorities as PEM.
    pub(crate) authorities: Vec<String>,
}

/// What the operator makes itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Service tokens by key. Empty: somebody else keeps that Secret.
    pub(crate) tokens: BTreeMap<String, String>,
}

pub(super) fn objects(platform: &Platform<'_>) -> Vec<Object> {
    let secret = |part: &str, data: &Value| {
        let rest = json!({"type": "Opaque", "stringData": data});
        platform.object(Kind::Secret, part, &platform.part(part), rest)
    };
    let mut objects = vec![secret(CHAT, &chat(platform)), secret(USERS, &users(platform))];
    if !platform.credentials.tokens.is_empty() {
        objects.push(secret(TOKENS, &json!(platform.credentials.tokens)));
    }
    if !platform.given.authorities.is_empty() {
        objects.push(secret(AUTHORITIES, &json!({AUTHORITIES_FILE: platform.given.authorities.join("\n")})));
    }
    objects
}

/// What changes when pods of chat-service have to start anew.
pub(super) fn chat_version(platform: &Platform<'_>) -> String {
    hash(&json!([chat(platform), platform.given.authorities]))
}

/// What changes when pods of user-service have to start anew. New keys are read without that.
pub(super) fn users_version(platform: &Platform<'_>) -> String {
    hash(&json!([users(platform), platform.given.authorities]))
}

fn chat(platform: &Platform<'_>) -> Value {
    let given = platform.given;
    json!({
        "DATABASE_URL": given.database_url,
        "REDIS_URL": given.redis_url,
        "AMQP_URL": given.amqp_urls.join(","),
        "RABBITMQ_MANAGEMENT_URL": given.management_url,
    })
}

fn users(platform: &Platform<'_>) -> Value {
    json!({"DATABASE_URL": platform.given.database_url, "REDIS_URL": platform.given.redis_url})
}
