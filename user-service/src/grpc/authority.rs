//! Who calls over gRPC: a service with a scope, or anybody with a valid token.

use service::problem::{Code, Problem};
use time::OffsetDateTime;
use tokens::TokenError;
use tonic::metadata::MetadataMap;

use crate::error;
use crate::secret::Secret;
use crate::state::App;

/// What a service needs to be told about accounts.
const SCOPE: &str = "users";

/// Until when the caller may be answered.
#[derive(Clone, Copy)]
pub(crate) struct Authority {
    /// The `exp` of the caller's token.
    pub(crate) until: OffsetDateTime,
}

/// Only services with the scope.
pub(crate) async fn service(app: &App, metadata: &MetadataMap) -> Result<Authority, Problem> {
    let token = bearer(metadata)?;
    match app.accounts.verifier.service(token.expose(), SCOPE).await {
        Ok(service) => Ok(Authority { until: service.expires_at }),
        // A person who is known, but no service, is told so.
        Err(_) if app.accounts.verifier.person(token.expose()).await.is_ok() => Err(error::token(&TokenError::Scope)),
        Err(error) => Err(error::token(&error)),
    }
}

/// Any service, whatever its scopes, and any person who is signed in.
pub(crate) async fn anybody(app: &App, metadata: &MetadataMap) -> Result<(), Problem> {
    let token = bearer(metadata)?;
    match app.accounts.verifier.service(token.expose(), SCOPE).await {
        Ok(_) | Err(TokenError::Scope) => Ok(()),
        Err(_) => Ok(app.accounts.verify(&token).await.map(drop)?),
    }
}

fn bearer(metadata: &MetadataMap) -> Result<Secret, Problem> {
    let header = metadata.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = crate::bearer::token(header)
        .ok_or_else(|| Problem::new(Code::Unauthenticated, "metadata `authorization: Bearer <token>` is needed"))?;
    Ok(Secret::new(token.to_owned()))
}
