//! What the command line may say. Checked here as far as it can be without looking at the machine.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};

use crate::layout::{Layout, MAX_GATEWAYS, Size};

/// The project's commands. `cargo xtask up` is the one to begin with.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command each.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the whole chat here: servers, programs, rooms
    Up(UpOptions),
    /// Stop everything that `up` started
    Down(DownOptions),
    /// Stop one process gracefully if it runs, and start it again
    Restart(ProcessOptions),
    /// Print the log of one process
    Logs(LogsOptions),
    /// Say which process runs, is ready, or died
    Status(StatusOptions),
    /// Write what is generated from the sources and checked in
    Gen(GenOptions),
    /// Make container images of the programs, as archives that need no registry
    Images(ImagesOptions),
    /// Start Kubernetes with one real node here, without Docker and without a registry; needs root
    Node(NodeOptions),
    /// Say where the clients of docs/tour are, for a shell: eval "$(cargo xtask tools)"
    Tools,
    /// Plot a day of load and how many gateways it gets
    ScalingSim,
    /// Run every check and test, with the time of each step
    Test(TestOptions),
    /// Kill and freeze every part under load, one after the other, and compare what everybody saw
    Faults(FaultsOptions),
    /// Wait for the end of standard input, then stop a stack; started by the commands above
    #[command(hide = true)]
    Guard(GuardOptions),
    /// The side of `node` that is in namespaces of its own
    #[command(hide = true)]
    NodeInside(NodeInsideOptions),
}

/// Which stack a command speaks of. The default is the one in `.parlor/` on the ports of the README.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// Folder for data, logs and pids of this stack; tests give each run its own [default: .parlor]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Added to every port, so that several stacks fit on one machine
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
}

impl Place {
    /// The folders and ports that these flags mean.
    pub(crate) fn layout(&self) -> Result<Layout> {
        let state = self.state.as_deref().map(std::path::absolute).transpose().context("failed to resolve --state")?;
        Layout::new(state, self.port_offset)
    }
}

/// Flags of `images`.
#[derive(Args, Clone)]
pub(crate) struct ImagesOptions {
    /// Folder of the archives [default: target/images]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Flags of `node`.
#[derive(Args, Clone)]
pub(crate) struct NodeOptions {
    /// Take the programs as the last build left them; for tests
    #[arg(long, hide = true)]
    pub(crate) no_build: bool,
    /// In a folder of its own, and removed at the end of standard input; for tests
    #[arg(long, hide = true)]
    pub(crate) scratch: bool,
}

/// Flags of `node-inside`.
#[derive(Args, Clone)]
pub(crate) struct NodeInsideOptions {
    /// The node's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Folder of Kubernetes' programs
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: PathBuf,
    /// Folder of images
    #[arg(long, value_name = "DIR")]
    pub(crate) images: PathBuf,
}

/// Flags of `up`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Args, Clone)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many chat-service processes (8080, 8180, …)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) gateways: u16,
    /// Folder of ChatRoom manifests [default: examples/rooms]
    #[arg(long, value_name = "DIR")]
    pub(crate) rooms: Option<PathBuf>,
    /// Return when all is ready instead of staying in the foreground
    #[arg(long)]
    pub(crate) detach: bool,
    /// Take the programs as the last build left them; for tests
    #[arg(long, hide = true)]
    pub(crate) no_build: bool,
    /// Start only PostgreSQL, Redis and RabbitMQ; for work on one program
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) servers_only: bool,
    /// In a folder and on ports of its own, and removed at the end of standard input; for tests
    #[arg(long, hide = true, conflicts_with_all = ["detach", "state", "port_offset"])]
    pub(crate) scratch: bool,
    /// Run the historian as a process of its own
    #[arg(long)]
    pub(crate) split_roles: bool,
    /// Let everybody send and sign in as often as they like; for load
    #[arg(long)]
    pub(crate) no_rate_limits: bool,
    #[command(flatten)]
    later: Later,
}

/// Flags of parts that are not built yet: they are refused by name.
#[derive(Args, Clone)]
struct Later {
    /// Not built yet
    #[arg(long)]
    tls: bool,
    /// Not built yet
    #[arg(long, value_name = "URL")]
    notify_webhook: Option<String>,
}

/// How much of a stack is started.
pub(crate) enum Extent {
    /// PostgreSQL, Redis and RabbitMQ.
    Servers,
    /// The programs with them.
    Whole(Whole),
}

/// A whole stack.
pub(crate) struct Whole {
    /// How many programs.
    pub(crate) size: Size,
    /// Whether nobody is limited.
    pub(crate) no_rate_limits: bool,
    /// The manifests' folder, absolute. It is there.
    pub(crate) rooms: PathBuf,
    /// Whether the programs are built before.
    pub(crate) build: bool,
}

impl UpOptions {
    /// What is to be started; refuses what cannot work, naming the flag and the cure.
    pub(crate) fn extent(&self, layout: &Layout) -> Result<Extent> {
        self.check()?;
        if self.servers_only {
            return Ok(Extent::Servers);
        }
        let rooms = self.rooms(layout)?;
        let size = Size { gateways: self.gateways, split_roles: self.split_roles };
        Ok(Extent::Whole(Whole { size, no_rate_limits: self.no_rate_limits, rooms, build: !self.no_build }))
    }

    fn check(&self) -> Result<()> {
        let later = [("--tls", self.later.tls), ("--notify-webhook", self.later.notify_webhook.is_some())];
        for (flag, given) in later {
            if given {
                bail!("{flag} is not built yet; leave the flag out");
            }
        }
        ensure!(
            (1..=MAX_GATEWAYS).contains(&self.gateways),
            "--gateways {}: give 1 to {MAX_GATEWAYS}, the ports are for no more",
            self.gateways
        );
        Ok(())
    }

    fn rooms(&self, layout: &Layout) -> Result<PathBuf> {
        let folder = match &self.rooms {
            Some(folder) => std::path::absolute(folder).context("failed to resolve --rooms")?,
            None => layout.root.join("examples/rooms"),
        };
        ensure!(folder.is_dir(), "--rooms {}: no such folder; give one with ChatRoom manifests", folder.display());
        Ok(folder)
    }
}

/// Flags of `guard`.
#[derive(Args)]
pub(crate) struct GuardOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Also remove data, logs and keys
    #[arg(long)]
    pub(crate) wipe: bool,
    /// The folder of a node instead of a stack
    #[arg(long, value_name = "DIR")]
    pub(crate) node: Option<PathBuf>,
}

/// Flags of `down`.
#[derive(Args)]
pub(crate) struct DownOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Also remove data, logs and keys
    #[arg(long)]
    pub(crate) wipe: bool,
}

/// Flags of `restart`.
#[derive(Args)]
pub(crate) struct ProcessOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// gateway-1, gateway-2, …, historian, user-service, operator, postgres, redis or rabbitmq
    pub(crate) process: String,
}

/// Flags of `logs`.
#[derive(Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pub(crate) place: Place,
    /// gateway-1, gateway-2, …, historian, user-service, operator, postgres, redis or rabbitmq
    pub(crate) process: String,
    /// Go on printing what is added
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// Flags of `status`.
#[derive(Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Flags of `gen`.
#[derive(Args)]
pub(crate) struct GenOptions {
    /// Write nothing; fail if something checked in is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

/// Flags of `test`.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// Go on after a failed step and report all failures at the end
    #[arg(long)]
    pub(crate) keep_going: bool,
}

/// Flags of `faults`.
#[derive(Args)]
pub(crate) struct FaultsOptions {
    /// How many messages each scene sends; a multiple of 16
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) messages: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(flags: &[&str]) -> UpOptions {
        let words = ["cargo xtask", "up"].iter().chain(flags);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Up(options) => options,
            _ => panic!("not `up`"),
        }
    }

    #[test]
    fn flags_of_parts_that_are_not_built_are_refused_by_name() {
        for flags in [&["--tls"][..], &["--notify-webhook", "http://x/"]] {
            let error = up(flags).check().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{} is not built yet", flags[0])), "{error}");
        }
    }

    #[test]
    fn the_number_of_gateways_is_bounded_by_the_ports() {
        assert!(up(&["--gateways", "10"]).check().is_ok());
        assert!(up(&["--gateways", "0"]).check().is_err());
        assert!(up(&["--gateways", "11"]).check().is_err());
    }

    #[test]
    fn a_folder_of_rooms_that_is_not_there_is_an_error_with_its_name() {
        let options = up(&["--rooms", "no/such/folder"]);
        let error = options.rooms(&options.place.layout().unwrap()).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"));
    }
}
