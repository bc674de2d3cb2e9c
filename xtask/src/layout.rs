//! Where one stack keeps its files and on which ports it listens. Every other module asks here, so that a test's stack is
//! simply another `Layout`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// More would run into the gRPC ports of the first (8080 + 10 * 100 = 9080, health 9090).
pub(crate) const MAX_GATEWAYS: u16 = 10;
/// The highest port before the offset is added: Erlang's distribution.
const HIGHEST_PORT: u16 = 25682;

/// A stack's folders and ports.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Data, logs and pids; `.parlor` in the repository unless `--state` says otherwise.
    pub(crate) state: PathBuf,
    offset: u16,
}

/// How many programs a stack has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// chat-service processes that serve people.
    pub(crate) gateways: u16,
    /// The historian is a process of its own.
    pub(crate) split_roles: bool,
}

impl Size {
    /// Nothing has more.
    pub(crate) const LARGEST: Self = Self { gateways: MAX_GATEWAYS, split_roles: true };
}

/// The three ports of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramPorts {
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    pub(crate) health: u16,
}

impl Layout {
    /// A layout under `state` (absolute; `None`: the repository's `.parlor`) with every port moved by `offset`.
    pub(crate) fn new(state: Option<PathBuf>, offset: u16) -> Result<Self> {
        ensure!(
            offset <= u16::MAX - HIGHEST_PORT,
            "--port-offset {offset}: at most {}, ports end at 65535",
            u16::MAX - HIGHEST_PORT
        );
        let root = repository()?;
        let state = state.unwrap_or_else(|| root.join(".parlor"));
        Ok(Self { root, state, offset })
    }

    /// The offset that every port of this stack has.
    pub(crate) fn offset(&self) -> u16 {
        self.offset
    }

    fn port(&self, standard: u16) -> u16 {
        standard + self.offset
    }

    /// Ports of gateway `number`, counted from 1.
    pub(crate) fn gateway(&self, number: u16) -> ProgramPorts {
        let step = (number - 1) * 100;
        ProgramPorts { http: self.port(8080 + step), grpc: self.port(9090 + step), health: self.port(8090 + step) }
    }

    /// Where the historian says how it is, where that is a process of its own; it serves nothing else.
    pub(crate) fn historian(&self) -> u16 {
        self.port(8092)
    }

    /// Ports of user-service.
    pub(crate) fn users(&self) -> ProgramPorts {
        ProgramPorts { http: self.port(8081), grpc: self.port(9091), health: self.port(8091) }
    }

    /// Port of the operator: status, health and metrics.
    pub(crate) fn operator(&self) -> u16 {
        self.port(8082)
    }

    /// Port of PostgreSQL.
    pub(crate) fn postgres(&self) -> u16 {
        self.port(5442)
    }

    /// Port of Redis.
    pub(crate) fn redis(&self) -> u16 {
        self.port(6389)
    }

    /// Port of AMQP.
    pub(crate) fn amqp(&self) -> u16 {
        self.port(5682)
    }

    /// Port of RabbitMQ's management API.
    pub(crate) fn management(&self) -> u16 {
        self.port(15682)
    }

    /// Port of the broker's Erlang distribution.
    pub(crate) fn distribution(&self) -> u16 {
        self.port(HIGHEST_PORT)
    }

    /// Port of the broker's own Erlang name server.
    pub(crate) fn epmd(&self) -> u16 {
        self.port(4379)
    }

    /// Every port that a stack of this size listens on, with the process that will hold it.
    pub(crate) fn ports(&self, size: Size) -> Vec<(u16, String)> {
        let mut ports = self.server_ports();
        ports.push((self.operator(), "operator".into()));
        let mut program = |ports_of: ProgramPorts, name: &str| {
            ports.extend([ports_of.http, ports_of.grpc, ports_of.health].map(|port| (port, name.to_owned())));
        };
        program(self.users(), "user-service");
        for number in 1..=size.gateways {
            program(self.gateway(number), &format!("gateway-{number}"));
        }
        if size.split_roles {
            ports.push((self.historian(), "historian".into()));
        }
        ports
    }

    /// Those of the servers alone.
    pub(crate) fn server_ports(&self) -> Vec<(u16, String)> {
        vec![
            (self.postgres(), "postgres".into()),
            (self.redis(), "redis".into()),
            (self.epmd(), "epmd".into()),
            (self.distribution(), "rabbitmq".into()),
            (self.amqp(), "rabbitmq".into()),
            (self.management(), "rabbitmq".into()),
        ]
    }

    /// The folder of data.
    pub(crate) fn data(&self) -> PathBuf {
        self.state.join("data")
    }

    /// The folder of pids.
    pub(crate) fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// The log of a process.
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.state.join("log").join(format!("{process}.log"))
    }

    /// The pid of a process.
    pub(crate) fn pid(&self, process: &str) -> PathBuf {
        self.run().join(format!("{process}.pid"))
    }

    /// How a process is started again.
    pub(crate) fn launch(&self, process: &str) -> PathBuf {
        self.run().join(format!("{process}.cmd"))
    }

    /// Addresses and the service token, for people and tests.
    pub(crate) fn env(&self) -> PathBuf {
        self.run().join("env")
    }

    /// The service token alone, as the programs read it.
    pub(crate) fn service_token(&self) -> PathBuf {
        self.run().join("service-token")
    }

    /// The folder of signing keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.data().join("keys")
    }

    /// Flags that make another `cargo xtask` speak of this stack; empty for the default one.
    pub(crate) fn flags(&self) -> String {
        if self.offset == 0 && self.state == self.root.join(".parlor") {
            return String::new();
        }
        format!(" --state {} --port-offset {}", self.state.display(), self.offset)
    }
}

/// The repository that holds the current folder, or the one whose `cargo xtask` this is. Never a path from the time of the build: a
/// copied `target/` would point at another checkout.
fn repository() -> Result<PathBuf> {
    let here = std::env::current_dir().context("failed to read the current folder")?;
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let is_root = |folder: &Path| folder.join("xtask/Cargo.toml").is_file();
    here.ancestors()
        .chain(package.as_deref().and_then(Path::parent))
        .find(|folder| is_root(folder))
        .map(Path::to_path_buf)
        .context("no Parlor checkout here: run this inside the repository")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn layout(offset: u16) -> Layout {
        Layout::new(Some("/tmp/x".into()), offset).unwrap()
    }

    #[test]
    fn ports_are_those_of_the_protocol() {
        let layout = layout(0);
        assert_eq!(layout.gateway(1), ProgramPorts { http: 8080, grpc: 9090, health: 8090 });
        assert_eq!(layout.gateway(2), ProgramPorts { http: 8180, grpc: 9190, health: 8190 });
        assert_eq!(layout.users(), ProgramPorts { http: 8081, grpc: 9091, health: 8091 });
        assert_eq!((layout.operator(), layout.historian()), (8082, 8092));
        assert_eq!((layout.postgres(), layout.redis(), layout.amqp(), layout.management()), (5442, 6389, 5682, 15682));
    }

    #[test]
    fn no_port_is_given_twice_even_in_the_largest_stack() {
        let ports = layout(1000).ports(Size::LARGEST);
        let different: BTreeSet<u16> = ports.iter().map(|(port, _)| *port).collect();
        assert_eq!(different.len(), ports.len());
    }

    #[test]
    fn an_offset_beyond_the_last_port_is_refused() {
        assert!(Layout::new(None, 39_853).is_ok());
        assert!(Layout::new(None, 39_854).is_err());
    }

    #[test]
    fn only_another_stack_needs_flags() {
        assert_eq!(Layout::new(None, 0).unwrap().flags(), "");
        assert_eq!(layout(7).flags(), " --state /tmp/x --port-offset 7");
    }
}
