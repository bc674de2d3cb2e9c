//! Where people reach a platform: one host name for both services, the ports that `kubectl port-forward` leads to a demonstration,
//! or the Services themselves.

use serde_json::{Value, json};

use super::programs::{GATEWAY, USER_SERVICE};
use super::{Kind, Object, Platform};

/// What belongs to user-service behind the host name; all else is chat-service's.
const OF_USERS: [&str; 7] =
    ["/v1/register", "/v1/login", "/v1/refresh", "/v1/logout", "/v1/me", "/.well-known", "/users/openapi.json"];

/// user-service of a demonstration, as a browser reaches it through a forwarded port.
const FORWARDED_USERS: &str = "http://localhost:8081";
/// Pages of a demonstration's gateway, through a forwarded port.
const FORWARDED_PAGES: &str = "http://localhost:8080,http://127.0.0.1:8080";

impl Platform<'_> {
    /// chat-service as people reach it.
    pub(crate) fn endpoint(&self) -> String {
        self.host().unwrap_or_else(|| self.inside(GATEWAY, 8080))
    }

    /// user-service as people reach it.
    pub(super) fn users_url(&self) -> String {
        let forwarded = || self.is_forwarded().then(|| FORWARDED_USERS.to_owned());
        self.host().or_else(forwarded).unwrap_or_else(|| self.inside(USER_SERVICE, 8081))
    }

    /// Origins of pages, beside its own, that may use user-service, separated by commas.
    pub(super) fn pages(&self) -> Option<&'static str> {
        self.is_forwarded().then_some(FORWARDED_PAGES)
    }

    /// A demonstration without a host name: nothing but forwarded ports leads a browser to it.
    fn is_forwarded(&self) -> bool {
        self.spec.demo && self.spec.ingress.is_none()
    }

    /// The `iss` of tokens.
    pub(crate) fn issuer(&self) -> String {
        self.users_url()
    }

    fn host(&self) -> Option<String> {
        let ingress = self.spec.ingress.as_ref()?;
        let scheme = if ingress.tls_secret_name.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{}", ingress.host))
    }
}

/// The Ingress, if the platform has a host name.
pub(super) fn ingress(platform: &Platform<'_>) -> Option<Object> {
    let ingress = platform.spec.ingress.as_ref()?;
    let to = |path: &str, part: &str| {
        let service = json!({"name": platform.part(part), "port": {"name": "http"}});
        json!({"path": path, "pathType": "Prefix", "backend": {"service": service}})
    };
    let mut paths: Vec<Value> = OF_USERS.iter().map(|path| to(path, USER_SERVICE)).collect();
    paths.push(to("/", GATEWAY));
    let mut spec = json!({"rules": [{"host": ingress.host, "http": {"paths": paths}}]});
    if let Some(class) = &ingress.class_name {
        spec["ingressClassName"] = json!(class);
    }
    if let Some(secret) = &ingress.tls_secret_name {
        spec["tls"] = json!([{"hosts": [ingress.host], "secretName": secret}]);
    }
    Some(platform.object(Kind::Ingress, GATEWAY, platform.name.name(), json!({"spec": spec})))
}
