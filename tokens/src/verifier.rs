//! Who a token speaks for. Everything is pinned: algorithm, kind, key, issuer, audience.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::claims::{self, PERSON_TYP, Person, SERVICE_TYP, Service, TokenError};
use crate::jws::{PublicKey, Unverified};
use crate::keys::Keys;
use crate::verifier::remote::Remote;

mod remote;

/// Checks tokens of one issuer. Clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    issuer: Arc<str>,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Local(Keys),
    Remote(Arc<Remote>),
}

impl Verifier {
    /// With the keys of the folder that signs.
    pub fn local(keys: Keys, issuer: &str) -> Self {
        Self { issuer: issuer.into(), source: Source::Local(keys) }
    }

    /// With the keys that user-service publishes at `jwks_url` (`…/.well-known/jwks.json`). It returns at once; `report` is
    /// told after each fetch whether it went well, or why not. Keys once known stay while nobody answers. Call it inside
    /// the runtime.
    pub fn remote(
        jwks_url: &str,
        issuer: &str,
        report: impl Fn(Result<(), &str>) + Send + Sync + 'static,
    ) -> Result<Self, reqwest::Error> {
        let remote = Remote::start(jwks_url, Box::new(report))?;
        Ok(Self { issuer: issuer.into(), source: Source::Remote(remote) })
    }

    /// The person that this token speaks for.
    pub async fn person(&self, token: &str) -> Result<Person, TokenError> {
        let payload = self.payload(token, PERSON_TYP).await?;
        claims::person(&payload, &self.issuer, OffsetDateTime::now_utc())
    }

    /// The service that this token speaks for, if it may do what `scope` names.
    pub async fn service(&self, token: &str, scope: &str) -> Result<Service, TokenError> {
        let payload = self.payload(token, SERVICE_TYP).await?;
        claims::service(&payload, &self.issuer, scope, OffsetDateTime::now_utc())
    }

    async fn payload(&self, token: &str, typ: &str) -> Result<Vec<u8>, TokenError> {
        let unverified = Unverified::parse(token, typ).map_err(TokenError::Invalid)?;
        let key = self.key(unverified.kid()).await?;
        unverified.verify(&key).map_err(TokenError::Invalid)
    }

    async fn key(&self, kid: &str) -> Result<PublicKey, TokenError> {
        match &self.source {
            Source::Local(keys) => keys.public(kid).ok_or(TokenError::Invalid("its key is not known")),
            Source::Remote(remote) => remote.key(kid).await,
        }
    }
}
