//! The command line of one chat-service: which servers it talks to, and in which roles.

/// Everything that tells one chat-service from another.
#[derive(Clone)]
pub struct Wiring {
    /// As in `--roles`.
    pub roles: &'static str,
    /// As in `--gateway-name`.
    pub name: String,
    /// PostgreSQL.
    pub database_url: String,
    /// Redis.
    pub redis_url: String,
    /// AMQP.
    pub amqp_url: String,
    /// RabbitMQ's management.
    pub management_url: String,
    /// user-service, HTTP.
    pub users_url: String,
    /// user-service, gRPC.
    pub users_grpc: String,
    /// The file of the service token.
    pub token_file: String,
    /// False: `--no-rate-limits`.
    pub rate_limits: bool,
    /// More variables.
    pub env: Vec<(&'static str, String)>,
}

impl Wiring {
    pub(super) fn args(&self, ports: [u16; 3], issuer: &str) -> Vec<String> {
        let mut args = listen(ports);
        let pairs = [
            ("--roles", self.roles),
            ("--gateway-name", &self.name),
            ("--users-url", &self.users_url),
            ("--users-grpc", &self.users_grpc),
            ("--issuer", issuer),
            ("--service-token-file", &self.token_file),
        ];
        args.extend(pairs.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]));
        args.push("--migrate".to_owned());
        if !self.rate_limits {
            args.push("--no-rate-limits".to_owned());
        }
        args
    }

    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
            ("AMQP_URL", self.amqp_url.clone()),
            ("RABBITMQ_MANAGEMENT_URL", self.management_url.clone()),
        ];
        env.extend(self.env.iter().cloned());
        env
    }
}

/// The flags for HTTP, gRPC and health.
pub(super) fn listen([http, grpc, health]: [u16; 3]) -> Vec<String> {
    let flag = |name: &str, port: u16| [name.to_owned(), format!("127.0.0.1:{port}")];
    [flag("--http", http), flag("--grpc", grpc), flag("--health", health)].concat()
}
