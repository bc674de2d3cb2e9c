//! A virtual host in RabbitMQ for one test, with a user that has the rights of the services and no more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{unique_name, with_path};
use crate::{cleanup, http, wait};

/// The same as in every local stack: the services may make only their own exclusive queues.
pub const SERVICES_MAY_CONFIGURE: &str = r"^(amq\.gen-.*|parlor\.gateway\..*)$";

/// How long the broker may be unable to say what it holds.
const SETTLED_LIMIT: Duration = Duration::from_secs(10);

/// Removed with everything in it when the value goes.
pub struct TestVhost {
    /// Its name.
    pub name: String,
    /// AMQP as the administrator.
    pub admin_url: String,
    /// AMQP as chat-service connects.
    pub services_url: String,
    /// The management API; paths name the virtual host.
    pub management_url: String,
    user: String,
}

impl TestVhost {
    pub(super) async fn create(management_url: &str, amqp_url: &str) -> Result<Self> {
        let name = unique_name();
        let user = format!("{name}_services");
        let password = uuid::Uuid::new_v4().simple().to_string();
        let admin = user_of(management_url)?;
        let vhost = Self {
            admin_url: with_path(amqp_url, &format!("/{name}")),
            services_url: with_path(&with_user(amqp_url, &format!("{user}:{password}")), &format!("/{name}")),
            management_url: management_url.to_owned(),
            user: user.clone(),
            name: name.clone(),
        };
        vhost.put(&format!("/api/vhosts/{name}"), &json!({})).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        vhost.put(&format!("/api/permissions/{name}/{admin}"), &all).await?;
        vhost.put(&format!("/api/users/{user}"), &json!({"password": password, "tags": ""})).await?;
        let services = json!({"configure": SERVICES_MAY_CONFIGURE, "write": ".*", "read": ".*"});
        vhost.put(&format!("/api/permissions/{name}/{user}"), &services).await?;
        Ok(vhost)
    }

    /// The path of an object of this virtual host: `/api/<kind>/<vhost>/<name>`, the name escaped.
    pub fn path(&self, kind: &str, name: &str) -> String {
        let escaped: String = name.bytes().map(escape).collect();
        format!("/api/{kind}/{}/{escaped}", self.name)
    }

    /// PUT; anything but success is an error.
    pub async fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.call(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// POST; anything but success is an error.
    pub async fn post(&self, path: &str, body: &Value) -> Result<()> {
        self.call(Method::POST, path, Some(body)).await.map(drop)
    }

    /// DELETE; that it is not there is an error too.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// GET; `None` for 404.
    pub async fn get(&self, path: &str) -> Result<Option<Value>> {
        // RabbitMQ cannot list a queue that is just being made or deleted: 500, and a moment later all is well.
        let answer = wait::until(SETTLED_LIMIT, &format!("GET {path}"), async || {
            let answer = http::client()?.get(format!("{}{path}", self.management_url)).send().await?;
            ensure!(!answer.status().is_server_error(), "{}", answer.status());
            Ok(Some(answer))
        })
        .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status().with_context(|| format!("failed to GET {path}"))?;
        Ok(Some(answer.json().await?))
    }

    /// The streams whose names begin so, in no particular order.
    pub async fn queues(&self, prefix: &str) -> Result<Vec<String>> {
        let all = self.get(&format!("/api/queues/{}?disable_stats=true", self.name)).await?.unwrap_or_default();
        let names = all.as_array().into_iter().flatten().filter_map(|queue| queue["name"].as_str());
        Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<reqwest::Response> {
        let mut request = http::client()?.request(method.clone(), format!("{}{path}", self.management_url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("failed to {method} {path}"))?;
        let status = answer.status();
        ensure!(status.is_success(), "{method} {path}: {status} {}", answer.text().await.unwrap_or_default());
        Ok(answer)
    }
}

fn escape(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn user_of(url: &str) -> Result<String> {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split_once('@')).map(|(user, _)| user);
    let user = authority.and_then(|user| user.split(':').next());
    user.map(str::to_owned).context("the management address names no user")
}

fn with_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("amqp", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{user}@{place}")
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        let this = &*self;
        cleanup::run("a virtual host", || async move {
            this.delete(&format!("/api/vhosts/{}", this.name)).await?;
            this.delete(&format!("/api/users/{}", this.user)).await
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_in_addresses_are_replaced() {
        assert_eq!(user_of("http://parlor:secret@127.0.0.1:15682").unwrap(), "parlor");
        assert_eq!(with_user("amqp://a:b@127.0.0.1:5682/parlor", "c:d"), "amqp://c:d@127.0.0.1:5682/parlor");
        assert_eq!("a b/ü".bytes().map(escape).collect::<String>(), "a%20b%2F%C3%BC");
    }
}
