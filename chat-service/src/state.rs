//! What every handler shares, cheap to clone.

use crate::live::Live;
use crate::log::Logs;
use crate::outbox::Outbox;
use crate::rooms::access::Access;
use crate::sockets::Sockets;
use crate::users::Users;
use service::limits::Limiter;
use sqlx::PgPool;
use std::sync::Arc;

/// Made in `main`.
#[derive(Clone)]
pub(crate) struct State {
    /// PostgreSQL.
    pub(crate) pool: PgPool,
    /// The room logs.
    pub(crate) logs: Logs,
    /// Hints between gateways.
    pub(crate) live: Live,
    /// Wakes the relay.
    pub(crate) outbox: Outbox,
    /// user-service.
    pub(crate) users: Users,
    /// Rate limits.
    pub(crate) limiter: Limiter,
    /// Verifies people's and services' tokens.
    pub(crate) verifier: tokens::Verifier,
    /// Who may read and write where.
    pub(crate) access: Access,
    /// Who is there.
    pub(crate) sockets: Sockets,
    /// From the command line.
    pub(crate) settings: Arc<Settings>,
}

/// What handlers need of the command line.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// user-service as browsers reach it.
    pub(crate) users_url: String,
    /// False: no limits, for tests.
    pub(crate) rate_limits: bool,
    /// Serves /v1/echo.
    pub(crate) echo: bool,
}
