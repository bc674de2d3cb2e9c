//! The credentials that the operator makes itself: the first signing key, and the tokens that Parlor's programs show each other.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use contract::room::RoomName;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use time::OffsetDateTime;
use tokens::Verifier;
use tokens::holders::{HOLDERS, LIFE};
use tokens::keys::{self, Keys};

use super::build::{self, Credentials, DEMO, KEYS, MANAGER, TOKENS};

/// Label of what we made.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Makes what is missing and gives the tokens as they are to be. A Secret that somebody else made is left to them.
pub(super) async fn keep(client: &Client, platform: &RoomName, issuer: &str) -> Result<Credentials> {
    let api: Api<Secret> = Api::namespaced(client.clone(), platform.namespace());
    let keys = signing_keys(&api, platform).await?;
    let name = format!("{}-{TOKENS}", platform.name());
    let present = api.get_opt(&name).await.with_context(|| format!("failed to read Secret {name}"))?;
    let present = match present {
        Some(secret) if !is_ours(&secret) => return Ok(Credentials::default()),
        Some(secret) => texts(secret),
        None => BTreeMap::new(),
    };
    let verifier = Verifier::local(keys.clone(), issuer);
    let mut tokens = BTreeMap::new();
    for (holder, scopes) in HOLDERS {
        let token = match present.get(holder) {
            Some(token) if is_fresh(&verifier, token, scopes).await => token.clone(),
            _ => keys.sign_service(issuer, holder, scopes, LIFE)?,
        };
        tokens.insert(holder.to_owned(), token);
    }
    Ok(Credentials { tokens })
}

/// Makes the password of the demonstration's servers where there is none.
pub(super) async fn keep_demo(client: &Client, platform: &RoomName) -> Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), platform.namespace());
    let name = build::demo_secret(platform);
    made_once(&api, &name, || {
        let password = format!("{:032x}", rand::random::<u128>());
        Ok(lasting(&name, DEMO, platform, build::demo_credentials(platform, &password)))
    })
    .await?;
    Ok(())
}

/// One key is made where there is none. More are added by people, under a name that comes later; the last one signs.
async fn signing_keys(api: &Api<Secret>, platform: &RoomName) -> Result<Keys> {
    let name = format!("{}-{KEYS}", platform.name());
    let secret = made_once(api, &name, || new_keys(&name, platform)).await?;
    let pems = texts(secret).into_iter().filter_map(|(file, text)| Some((file.strip_suffix(".pem")?.to_owned(), text)));
    Keys::of(pems).with_context(|| format!("Secret {name}"))
}

/// The Secret as it is, or as `new` makes it where there is none.
async fn made_once(api: &Api<Secret>, name: &str, new: impl FnOnce() -> Result<Secret>) -> Result<Secret> {
    let failed = || format!("failed to read Secret {name}");
    if let Some(secret) = api.get_opt(name).await.with_context(failed)? {
        return Ok(secret);
    }
    match api.create(&PostParams::default(), &new()?).await {
        Err(kube::Error::Api(error)) if error.code == 409 => api.get(name).await.with_context(failed),
        created => created.with_context(|| format!("failed to make Secret {name}")),
    }
}

fn new_keys(name: &str, platform: &RoomName) -> Result<Secret> {
    let kid = format!("{:010}", OffsetDateTime::now_utc().unix_timestamp());
    Ok(lasting(name, KEYS, platform, [(format!("{kid}.pem"), keys::generate()?)]))
}

/// Without an owner: it stays when the platform goes, as accounts and data do.
fn lasting<const N: usize>(name: &str, part: &str, platform: &RoomName, data: [(String, String); N]) -> Secret {
    let labels = [
        (MANAGED_BY, MANAGER),
        ("app.kubernetes.io/part-of", "parlor"),
        ("app.kubernetes.io/name", part),
        ("app.kubernetes.io/instance", platform.name()),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() };
    Secret { metadata, string_data: Some(data.into()), ..Secret::default() }
}

fn is_ours(secret: &Secret) -> bool {
    let labels = secret.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

fn texts(secret: Secret) -> BTreeMap<String, String> {
    let mut texts = secret.string_data.unwrap_or_default();
    let data = secret.data.unwrap_or_default().into_iter();
    texts.extend(data.filter_map(|(name, bytes)| Some((name, String::from_utf8(bytes.0).ok()?))));
    texts
}

/// Of our keys and issuer, for exactly these scopes, and good for more than half of its life.
async fn is_fresh(verifier: &Verifier, token: &str, scopes: &[&str]) -> bool {
    let Some(first) = scopes.first() else { return false };
    let service = verifier.service(token, first).await;
    service.is_ok_and(|service| {
        let left = service.expires_at - OffsetDateTime::now_utc();
        service.scopes == scopes && left > LIFE / 2
    })
}
