//! Command line and environment of user-service, checked before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use http::HeaderValue;
use service::database::DatabaseArgs;
use service::serve::TlsArgs;

/// First argument for the other thing that the program can do.
pub(crate) const READY: &str = "ready";

/// Asks the user-service that runs on this machine whether it is ready, for a container's health check.
#[derive(clap::Parser)]
#[command(version, name = "user-service ready")]
pub(crate) struct Ready {
    #[command(flatten)]
    pub(crate) health: Health,
}

/// Where the program tells of itself.
#[derive(clap::Args)]
pub(crate) struct Health {
    /// Where health and metrics are, always plain HTTP.
    #[arg(long, env = "HEALTH_ADDRESS", default_value = "0.0.0.0:8091")]
    pub(crate) health: SocketAddr,
}

/// Accounts, tokens and sessions of Parlor.
#[derive(clap::Parser)]
#[command(version, after_help = "`user-service ready` asks the one that runs on this machine whether it is ready.")]
pub(crate) struct Args {
    /// Where the HTTP API listens.
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) http: SocketAddr,
    /// Where gRPC listens.
    #[arg(long, env = "GRPC_ADDRESS", default_value = "0.0.0.0:9091")]
    pub(crate) grpc: SocketAddr,
    #[command(flatten)]
    pub(crate) health: Health,
    /// Folder of signing keys, `<kid>.pem` each (Ed25519, PKCS#8): the newest signs, all verify. Read again when it changes.
    #[arg(long, env = "KEYS_DIR")]
    pub(crate) keys: PathBuf,
    /// Makes a first signing key where the folder has none. One of several copies may do that.
    #[arg(long, env = "MAKE_KEY", value_parser = FalseyValueParser::new())]
    pub(crate) make_key: bool,
    /// Folder where tokens for the operator and chat-service are kept fresh, one file each, where no operator makes them.
    #[arg(long, env = "SERVICE_TOKENS_DIR")]
    pub(crate) service_tokens: Option<PathBuf>,
    /// The `iss` of tokens: this service's address as clients see it.
    #[arg(long, env = "ISSUER", default_value = "http://localhost:8081", value_parser = issuer)]
    pub(crate) issuer: String,
    /// Who may register.
    #[arg(long, env = "REGISTRATION", value_enum, ignore_case = true, default_value = "closed")]
    pub(crate) registration: Registration,
    /// Origin of a web client that is served from elsewhere; may be repeated (in the variable: commas).
    #[arg(long = "allowed-origin", env = "ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub(crate) allowed_origins: Vec<HeaderValue>,
    /// No limits per user and address. For tests, never in production.
    #[arg(long, env = "NO_RATE_LIMITS", value_parser = FalseyValueParser::new())]
    pub(crate) no_rate_limits: bool,
    /// Takes a client's address from the last entry of X-Forwarded-For. Only behind a proxy that writes it.
    #[arg(long, env = "TRUST_FORWARDED", value_parser = FalseyValueParser::new())]
    pub(crate) trust_forwarded: bool,
    /// How long an access token holds, in seconds.
    #[arg(long, env = "ACCESS_TOKEN_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(2..=3600))]
    pub(crate) access_token_seconds: u32,
    /// Passwords hashed at the same time, 19 MiB each; by default one a core, 4 at most.
    #[arg(long, env = "PASSWORD_HASHES", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) password_hashes: Option<u16>,
    /// Redis: sessions, revocations and limits.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Registration {
    /// Everyone; a reserved name needs an invite.
    Open,
    /// Whoever has an invite.
    Invite,
    /// Nobody.
    Closed,
}

impl Args {
    /// Whether browsers reach us over TLS, be it ours or a proxy's.
    pub(crate) fn over_tls(&self, own: bool) -> bool {
        own || self.issuer.starts_with("https://")
    }

    /// How many passwords are hashed at the same time.
    pub(crate) fn hashes(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.password_hashes.map_or_else(|| cores.clamp(1, 4), usize::from)
    }
}

/// Exactly as tokens name it, so no slash at the end.
fn issuer(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("an address like https://chat.example.com is needed".to_owned());
    }
    Ok(trimmed.to_owned())
}

/// As browsers send it: scheme, host and port, nothing behind.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(['/', '*', ' ']) {
        return Err("an origin like https://chat.example.com is needed, without a path".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "it holds letters that no origin has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_no_path_and_the_issuer_no_slash_at_the_end() {
        assert!(origin("http://localhost:8080").is_ok());
        for wrong in ["http://localhost:8080/", "localhost:8080", "*", "https://", "null"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert_eq!(issuer("https://chat.example.com/"), Ok("https://chat.example.com".to_owned()));
        assert!(issuer("chat.example.com").is_err() && issuer("http://").is_err());
    }
}
