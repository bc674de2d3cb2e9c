//! What every request handler can reach: one struct, made in `main`, cheap to clone.

use std::sync::Arc;

use http::HeaderValue;
use service::shutdown::Shutdown;
use tokens::keys::Keys;

use crate::accounts::Accounts;
use crate::limits::Limits;

/// The state of the program.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) accounts: Accounts,
    pub(crate) limits: Limits,
    pub(crate) keys: Keys,
    pub(crate) edge: Arc<Edge>,
    pub(crate) shutdown: Shutdown,
}

/// How the HTTP edge is configured.
pub(crate) struct Edge {
    /// Whether cookies go over TLS alone.
    pub(crate) secure_cookies: bool,
    /// Whether a proxy in front of us says whose request it is.
    pub(crate) trust_forwarded: bool,
    /// Web clients of elsewhere.
    pub(crate) allowed_origins: Vec<HeaderValue>,
}
