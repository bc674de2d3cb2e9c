//! The command line; every flag is also an environment variable, and what holds a password is only that in practice.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use contract::room::RoomName;

use crate::cluster::DemoImages;

/// Turns ChatRoom manifests into RabbitMQ topology and keeps it true.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep the rooms of a folder of manifests, or of a Kubernetes cluster, true.
    Run(Box<Run>),
    /// Print the definitions of ChatRoom and ChatPlatform for Kubernetes.
    Crd,
    /// Say what is wrong with manifests, without any server; exit code 1 where something is.
    Validate(Validate),
    /// Ask the operator that runs on this machine whether it is ready, for a container's health check.
    Ready(Status),
}

/// Where an operator tells of itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    /// Address of status, health and metrics.
    #[arg(long, env = "STATUS", default_value = "127.0.0.1:8082")]
    pub(crate) status: SocketAddr,
}

/// What to look at.
#[derive(Debug, Clone, Args)]
pub(crate) struct Validate {
    /// Files and folders of manifests.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Where everything is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,
    /// What stands before the file names in a room's owner. Default: the folder's path. Name it where the folder may move.
    #[arg(long, env = "FOLDER_NAME", requires = "rooms")]
    pub(crate) folder_name: Option<String>,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) status: Status,
    /// Seconds between two looks at the whole broker.
    #[arg(long, env = "RESYNC_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) resync_seconds: u64,
}

/// The servers of a folder's rooms. In a cluster they stand in the ChatPlatforms and in Secrets.
#[derive(Debug, Clone, Args)]
pub(crate) struct Servers {
    /// gRPC addresses of chat-service; the next one is asked where one does not answer.
    #[arg(long, env = "CHAT_GRPC", value_delimiter = ',', required_unless_present = "kubernetes")]
    pub(crate) chat_grpc: Vec<String>,
    /// File with the service token.
    #[arg(long, env = "SERVICE_TOKEN_FILE", required_unless_present = "kubernetes")]
    pub(crate) service_token_file: Option<PathBuf>,
    /// Certificate authority to trust beside the system's, as PEM: for chat-service and RabbitMQ.
    #[arg(long, env = "TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// RabbitMQ's management API, with user and password.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true, required_unless_present = "kubernetes")]
    pub(crate) management_url: Option<String>,
    /// RabbitMQ over AMQP, with user and password: where its event exchange is on, changes by hand are seen at once.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: Option<String>,
    /// Virtual host of the platform.
    #[arg(long, env = "VHOST", default_value = "parlor")]
    pub(crate) vhost: String,
}

/// Where manifests come from.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// Folder of manifests.
    #[arg(long, env = "ROOMS")]
    pub(crate) rooms: Option<PathBuf>,
    /// ChatRooms of the Kubernetes cluster that this operator runs in, or that KUBECONFIG names.
    #[arg(long, env = "KUBERNETES", value_parser = FalseyValueParser::new())]
    pub(crate) kubernetes: bool,
}

/// What only Kubernetes needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Kubernetes {
    /// What stands before the objects' uids in a room's owner. Default: the uid of the namespace kube-system. Name it where a cluster
    /// may be made again from a backup.
    #[arg(long, env = "CLUSTER_NAME", requires = "kubernetes")]
    pub(crate) cluster_name: Option<String>,
    /// Name of the Lease by which one operator of several acts. It is in the operator's namespace.
    #[arg(long, env = "LEASE", default_value = "parlor-operator")]
    pub(crate) lease: String,
    /// Seconds after which another operator takes over from one that does not answer.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=300))]
    pub(crate) lease_seconds: u64,
    /// Seconds in which no load asked for a pod before it goes.
    #[arg(long, env = "SCALE_DOWN_SECONDS", default_value_t = scaling::DOWN_WINDOW.as_secs(), value_parser = clap::value_parser!(u64).range(15..=3600))]
    pub(crate) scale_down_seconds: u64,
    /// gRPC of a platform's chat-service, as `namespace/name=http://host:port`, for an operator that runs outside the cluster and
    /// cannot reach the platform's Service. May be repeated.
    #[arg(long, env = "PLATFORM_GRPC", value_delimiter = ',', value_parser = platform_grpc)]
    pub(crate) platform_grpc: Vec<(RoomName, String)>,
    /// Image of RabbitMQ for platforms with `demo: true`.
    #[arg(long, env = "DEMO_RABBITMQ_IMAGE", default_value = "rabbitmq:4-management")]
    pub(crate) demo_rabbitmq_image: String,
    /// Image of PostgreSQL for the same.
    #[arg(long, env = "DEMO_POSTGRES_IMAGE", default_value = "postgres:17")]
    pub(crate) demo_postgres_image: String,
    /// Image of Redis for the same.
    #[arg(long, env = "DEMO_REDIS_IMAGE", default_value = "redis:8")]
    pub(crate) demo_redis_image: String,
}

impl Kubernetes {
    /// Of the servers of platforms with `demo: true`.
    pub(crate) fn demo_images(&self) -> DemoImages {
        DemoImages {
            rabbitmq: self.demo_rabbitmq_image.clone(),
            postgres: self.demo_postgres_image.clone(),
            redis: self.demo_redis_image.clone(),
        }
    }
}

fn platform_grpc(text: &str) -> Result<(RoomName, String), String> {
    let wrong = || "write namespace/name=http://host:port".to_owned();
    let (name, url) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.parse().map_err(|_| wrong())?, url.to_owned()))
}
