//! Command lines of Parlor's own programs. Passwords go through the environment, the service token through a file.

use std::path::Path;

use crate::args::Whole;
use crate::cargo;
use crate::launch::{Launch, Ready};
use crate::layout::{Layout, ProgramPorts};
use crate::secrets::{Secrets, VHOST};

/// Variables of the shell that `up` runs in which reach the programs, beside `PARLOR_*`.
const PASSED_ON: [&str; 2] = ["RUST_LOG", "RUST_BACKTRACE"];

/// What the command lines are made from.
pub(crate) struct Programs<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) secrets: &'a Secrets,
    pub(crate) whole: &'a Whole,
}

impl Programs<'_> {
    /// user-service's address, which is also the issuer of tokens.
    pub(crate) fn issuer(&self) -> String {
        public(self.layout.users())
    }

    /// Starts user-service.
    pub(crate) fn user_service(&self) -> Launch {
        let ports = self.layout.users();
        let mut launch = self
            .limited(self.program("user-service", ready(ports.health)))
            .args(listen(ports))
            .args(["--keys".to_owned(), self.layout.keys().display().to_string()])
            .args(["--issuer".to_owned(), self.issuer()])
            .args(["--registration", "open"])
            .args(["--migrate"])
            .env("DATABASE_URL", self.secrets.database_url(self.layout))
            .env("REDIS_URL", self.secrets.redis_url(self.layout));
        for number in 1..=self.whole.size.gateways {
            let port = self.layout.gateway(number).http;
            for host in ["localhost", "127.0.0.1"] {
                launch = launch.args(["--allowed-origin".to_owned(), format!("http://{host}:{port}")]);
            }
        }
        launch
    }

    /// Starts gateway `number`, with all built roles unless they are split.
    pub(crate) fn gateway(&self, number: u16) -> Launch {
        let ports = self.layout.gateway(number);
        let roles = if self.whole.size.split_roles { "gateway" } else { "gateway,historian" };
        self.chat_service(roles, &format!("gateway-{number}"), ports.health).args(listen(ports))
    }

    /// Starts the historian alone.
    pub(crate) fn historian(&self) -> Launch {
        let health = self.layout.historian();
        self.chat_service("historian", "historian", health).args(["--health".to_owned(), local(health)])
    }

    fn chat_service(&self, roles: &str, name: &str, health: u16) -> Launch {
        self.limited(self.program("chat-service", ready(health)))
            .args(["--roles", roles])
            .args(["--gateway-name", name])
            .args(["--users-url".to_owned(), self.issuer()])
            .args(["--users-grpc".to_owned(), grpc(self.layout.users())])
            .args(["--issuer".to_owned(), self.issuer()])
            .args(["--service-token-file".to_owned(), self.layout.service_token().display().to_string()])
            .args(["--migrate", "--echo"])
            .env("DATABASE_URL", self.secrets.database_url(self.layout))
            .env("REDIS_URL", self.secrets.redis_url(self.layout))
            .env("AMQP_URL", self.secrets.amqp_services_url(self.layout))
            .env("RABBITMQ_MANAGEMENT_URL", self.secrets.management_url(self.layout))
    }

    /// Starts the operator over a folder of manifests.
    pub(crate) fn operator(&self, rooms: &Path) -> Launch {
        let gateways: Vec<String> =
            (1..=self.whole.size.gateways).map(|number| grpc(self.layout.gateway(number))).collect();
        self.program("operator", ready(self.layout.operator()))
            .args(["run"])
            .args(["--rooms".to_owned(), rooms.display().to_string()])
            .args(["--chat-grpc".to_owned(), gateways.join(",")])
            .args(["--service-token-file".to_owned(), self.layout.service_token().display().to_string()])
            .args(["--vhost", VHOST])
            .args(["--status".to_owned(), local(self.layout.operator())])
            .env("RABBITMQ_MANAGEMENT_URL", self.secrets.management_url(self.layout))
            // For RabbitMQ's events: what somebody deletes by hand is back within seconds.
            .env("AMQP_URL", self.secrets.amqp_admin_url(self.layout))
    }

    fn limited(&self, launch: Launch) -> Launch {
        if self.whole.no_rate_limits { launch.args(["--no-rate-limits"]) } else { launch }
    }

    fn program(&self, name: &str, ready: Ready) -> Launch {
        let mut launch = Launch::new(cargo::program(self.layout, name), ready);
        launch.dir.clone_from(&self.layout.root);
        for (variable, value) in std::env::vars() {
            if variable.starts_with("PARLOR_") || PASSED_ON.contains(&variable.as_str()) {
                launch = launch.env(&variable, value);
            }
        }
        launch
    }
}

/// The address of a program as browsers and people see it.
pub(crate) fn public(ports: ProgramPorts) -> String {
    format!("http://localhost:{}", ports.http)
}

fn grpc(ports: ProgramPorts) -> String {
    format!("http://127.0.0.1:{}", ports.grpc)
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn listen(ports: ProgramPorts) -> [String; 6] {
    [
        "--http".to_owned(),
        local(ports.http),
        "--grpc".to_owned(),
        local(ports.grpc),
        "--health".to_owned(),
        local(ports.health),
    ]
}

fn ready(health: u16) -> Ready {
    Ready::Http { url: format!("http://127.0.0.1:{health}/readyz") }
}
