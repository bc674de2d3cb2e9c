//! Flags and environment of chat-service, checked before anything starts.

use clap::builder::FalseyValueParser;
use service::database::DatabaseArgs;
use service::serve::TlsArgs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// First arguments for the other things that the program can do.
pub(crate) const MIGRATE: &str = "migrate";
pub(crate) const READY: &str = "ready";
const MORE: &str = "`chat-service migrate` runs the database's migrations and ends.
`chat-service ready` asks the one that runs on this machine whether it is ready.";

/// Runs the database's migrations, for both services, and ends; waits for the database.
#[derive(Debug, clap::Parser)]
#[command(version, name = "chat-service migrate")]
pub(crate) struct Migrate {
    /// PostgreSQL.
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// Asks the chat-service that runs on this machine whether it is ready, for a container's health check.
#[derive(Debug, clap::Parser)]
#[command(version, name = "chat-service ready")]
pub(crate) struct Ready {
    #[command(flatten)]
    pub(crate) health: Health,
}

/// Where the program tells of itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// Where health and metrics are, always plain HTTP.
    #[arg(long, env = "HEALTH_ADDRESS", default_value = "0.0.0.0:8090")]
    pub(crate) health: SocketAddr,
}

/// The WebSocket gateway, the room log and the historian of Parlor.
#[derive(Debug, clap::Parser)]
#[command(version, after_help = MORE)]
pub(crate) struct Args {
    /// Where HTTP and WebSockets are served.
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub(crate) http: SocketAddr,
    /// Where gRPC is served.
    #[arg(long, env = "GRPC_ADDRESS", default_value = "0.0.0.0:9090")]
    pub(crate) grpc: SocketAddr,
    #[command(flatten)]
    pub(crate) health: Health,
    /// What this process does, comma separated: gateway, historian.
    #[arg(long, env = "ROLES", value_delimiter = ',', default_value = "gateway,historian", value_parser = role)]
    pub(crate) roles: Vec<Role>,
    /// Name of this process among the others, the same after a restart.
    #[arg(long, env = "GATEWAY_NAME", default_value = "gateway")]
    pub(crate) gateway_name: String,
    /// user-service as browsers reach it.
    #[arg(long, env = "USERS_URL", default_value = "http://localhost:8081", value_parser = address)]
    pub(crate) users_url: String,
    /// user-service's gRPC as this process reaches it.
    #[arg(long, env = "USERS_GRPC", default_value = "http://localhost:9091", value_parser = address)]
    pub(crate) users_grpc: String,
    /// Where the keys of tokens are; by default below USERS_URL.
    #[arg(long, env = "JWKS_URL", value_parser = address)]
    pub(crate) jwks_url: Option<String>,
    /// The `iss` of tokens.
    #[arg(long, env = "ISSUER", default_value = "http://localhost:8081", value_parser = address)]
    pub(crate) issuer: String,
    /// File with the token that this process shows to user-service; read again when it changes.
    #[arg(long, env = "SERVICE_TOKEN_FILE")]
    pub(crate) service_token_file: PathBuf,
    /// Serves /v1/echo, a WebSocket that echoes, for conformance tests.
    #[arg(long, env = "ECHO", value_parser = FalseyValueParser::new())]
    pub(crate) echo: bool,
    /// No limits per person and socket. For tests, never in production.
    #[arg(long, env = "NO_RATE_LIMITS", value_parser = FalseyValueParser::new())]
    pub(crate) no_rate_limits: bool,
    /// How long a stop may take, in seconds: sockets are told to go elsewhere, requests end.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) drain_seconds: u64,
    /// Over how many seconds a stop spreads the leaving of many sockets, so that their return is no storm.
    #[arg(long, env = "DRAIN_SPREAD_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_spread_seconds: u64,
    /// Redis: limits.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: String,
    /// RabbitMQ, one or more addresses, comma separated; the path is the virtual host.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_delimiter = ',', required = true)]
    pub(crate) amqp_url: Vec<String>,
    /// RabbitMQ's management: asked whether a log that cannot be read still exists.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true)]
    pub(crate) rabbitmq_management_url: String,
    /// PostgreSQL.
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// TLS of HTTP and gRPC.
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// A part of the program that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sockets, REST and gRPC.
    Gateway,
    /// Stores what stands in the logs.
    Historian,
}

impl Args {
    /// Whether this process has this role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Where the keys of tokens are.
    pub(crate) fn jwks(&self) -> String {
        self.jwks_url.clone().unwrap_or_else(|| format!("{}/.well-known/jwks.json", self.users_url))
    }
}

fn role(word: &str) -> Result<Role, String> {
    match word.trim() {
        "gateway" => Ok(Role::Gateway),
        "historian" => Ok(Role::Historian),
        "worker" => Err("the role `worker` is not built yet: uploads and notifications come with it".to_owned()),
        other => Err(format!("there is no role `{other}`: gateway and historian are known")),
    }
}

/// Without a slash at the end, so that paths can be put behind.
fn address(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("an address like https://chat.example.com is needed".to_owned());
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn parse(more: &[&str]) -> Result<Args, clap::Error> {
        let always = [
            "chat-service",
            "--service-token-file=t",
            "--redis-url=redis://r",
            "--amqp-url=amqp://a,amqp://b",
            "--rabbitmq-management-url=http://m",
            "--database-url=postgres://p",
        ];
        Args::try_parse_from(always.iter().chain(more))
    }

    #[test]
    fn all_built_roles_are_the_default_and_worker_is_refused_by_name() {
        let args = parse(&["--users-url=http://localhost:17081/"]).unwrap();
        assert!(args.has(Role::Gateway) && args.has(Role::Historian));
        assert_eq!(args.jwks(), "http://localhost:17081/.well-known/jwks.json");
        assert_eq!(args.amqp_url.len(), 2);
        assert!(!parse(&["--roles=historian"]).unwrap().has(Role::Gateway));
        let refused = parse(&["--roles=gateway,worker"]).unwrap_err().to_string();
        assert!(refused.contains("`worker` is not built yet"), "{refused}");
        assert!(parse(&["--roles=king"]).is_err());
    }
}
