//! Where the servers of a ChatPlatform are: its spec, and the Secrets that it names. Each is asked for by its name, so that the
//! operator needs no right to list Secrets.

use contract::room::RoomName;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use reqwest::Url;
use tokens::holders::OPERATOR_TOKEN;

use super::deploy::{Given, TOKENS};
use crate::broker;
use crate::context::Closed;
use crate::crd::chat_platform::{ChatPlatformSpec, KeyRef, Rabbitmq, SecretRef};
use crate::report::Reason;
use crate::servers::{Addresses, Token};

/// Where the operator finds a platform's servers. `chat_grpc`: the addresses of chat-service.
pub(super) async fn read(
    client: &Client,
    platform: &RoomName,
    spec: &ChatPlatformSpec,
    chat_grpc: &[String],
) -> Result<Addresses, Closed> {
    let secrets = Secrets::of(client, platform);
    let rabbitmq = rabbitmq(spec)?;
    let (user, password) = secrets.account(&rabbitmq.secret_ref).await?;
    let token = secrets.read(&format!("{}-{TOKENS}", platform.name()), OPERATOR_TOKEN).await?;
    Ok(Addresses {
        management_url: with_user(&rabbitmq.management_uri, &user, &password)?,
        amqp_urls: amqp_urls(rabbitmq, &user, &password)?,
        vhost: rabbitmq.vhost.clone(),
        broker_ca: secrets.authority(rabbitmq.ca_ref.as_ref()).await?,
        chat_grpc: chat_grpc.to_vec(),
        chat_ca: None,
        token: Token::Given(token.into()),
    })
}

/// What the platform's programs are given.
pub(super) async fn given(client: &Client, platform: &RoomName, spec: &ChatPlatformSpec) -> Result<Given, Closed> {
    let secrets = Secrets::of(client, platform);
    let rabbitmq = rabbitmq(spec)?;
    let (user, password) = secrets.account(&rabbitmq.services_secret_ref).await?;
    let postgres =
        spec.postgres.as_ref().ok_or_else(|| missing("spec.postgres is missing: say where the database is"))?;
    let redis = spec.redis.as_ref().ok_or_else(|| missing("spec.redis is missing: say where Redis is"))?;
    let mut authorities = Vec::new();
    for reference in [&rabbitmq.ca_ref, &postgres.ca_ref, &redis.ca_ref] {
        let authority = secrets.authority(reference.as_ref()).await?;
        authorities.extend(authority.filter(|authority| !authorities.contains(authority)));
    }
    let vhost = broker::encode(&rabbitmq.vhost);
    let urls = amqp_urls(rabbitmq, &user, &password)?;
    Ok(Given {
        amqp_urls: urls.iter().map(|url| format!("{}/{vhost}", url.trim_end_matches('/'))).collect(),
        management_url: with_user(&rabbitmq.management_uri, &user, &password)?,
        database_url: secrets.read(&postgres.secret_ref.name, &postgres.secret_ref.key).await?,
        redis_url: secrets.read(&redis.secret_ref.name, &redis.secret_ref.key).await?,
        authorities,
    })
}

fn rabbitmq(spec: &ChatPlatformSpec) -> Result<&Rabbitmq, Closed> {
    spec.rabbitmq.as_ref().ok_or_else(|| missing("spec.rabbitmq is missing: say where the broker is"))
}

fn amqp_urls(rabbitmq: &Rabbitmq, user: &str, password: &str) -> Result<Vec<String>, Closed> {
    rabbitmq.amqp_uris.iter().map(|uri| with_user(uri, user, password)).collect()
}

fn with_user(uri: &str, user: &str, password: &str) -> Result<String, Closed> {
    let wrong = |()| missing(format!("spec.rabbitmq: {uri} is no address: write it as amqps://mq.example:5671"));
    let mut url = Url::parse(uri).map_err(|_| wrong(()))?;
    // The library leaves percents as they are.
    url.set_username(&broker::encode(user)).map_err(wrong)?;
    url.set_password(Some(&broker::encode(password))).map_err(wrong)?;
    Ok(url.into())
}

fn missing(message: impl Into<String>) -> Closed {
    Closed::new(Reason::ConnectionsMissing, message)
}

struct Secrets<'a> {
    api: Api<Secret>,
    namespace: &'a str,
}

impl<'a> Secrets<'a> {
    fn of(client: &Client, platform: &'a RoomName) -> Self {
        let namespace = platform.namespace();
        Self { api: Api::namespaced(client.clone(), namespace), namespace }
    }

    async fn account(&self, reference: &SecretRef) -> Result<(String, String), Closed> {
        Ok((self.read(&reference.name, "username").await?, self.read(&reference.name, "password").await?))
    }

    async fn authority(&self, reference: Option<&KeyRef>) -> Result<Option<String>, Closed> {
        match reference {
            Some(KeyRef { name, key }) => self.read(name, key).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read(&self, name: &str, key: &str) -> Result<String, Closed> {
        let namespace = self.namespace;
        let secret = self.api.get_opt(name).await;
        let secret = secret.map_err(|error| missing(format!("Secret {namespace}/{name} cannot be read: {error}")))?;
        let data = secret.ok_or_else(|| missing(format!("there is no Secret {namespace}/{name}: make it")))?.data;
        let bytes = data.and_then(|mut data| data.remove(key));
        let bytes = bytes.ok_or_else(|| missing(format!("Secret {namespace}/{name} has no key {key}: add it")))?.0;
        let text = String::from_utf8(bytes)
            .map_err(|_| missing(format!("Secret {namespace}/{name}: what stands under {key} is no text")))?;
        // An editor's line break at the end is no part of a password.
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_stand_in_the_address_whatever_letters_they_have() {
        let url = with_user("https://mq:15671", "a@b", "p:/%#?").unwrap();
        assert_eq!(url, "https://a%40b:p%3A%2F%25%23%3F@mq:15671/");
        assert_eq!(with_user("amqps://mq-0.mq:5671", "u", "p").unwrap(), "amqps://u:p@mq-0.mq:5671");
        assert_eq!(with_user("nowhere", "u", "p").unwrap_err().reason, Reason::ConnectionsMissing);
    }
}
