//! The servers of one platform: where they are, and the worker that keeps the platform's rooms true in them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use service::shutdown::Shutdown;
use tokens::ServiceTokenFile;
use tokio::sync::mpsc;

use crate::args;
use crate::broker::Broker;
use crate::broker::events::Listener;
use crate::context::Context;
use crate::report::Board;
use crate::rooms_service::{Bearer, RoomsService};
use crate::worker::{self, Ears, Settings};

/// Hints that wait.
const HINTS_MOST: usize = 1024;

/// Where the servers are. Addresses carry user and password.
#[derive(PartialEq, Eq)]
pub(crate) struct Addresses {
    /// RabbitMQ's management API.
    pub(crate) management_url: String,
    /// RabbitMQ over AMQP; none: its events are not listened to.
    pub(crate) amqp_urls: Vec<String>,
    /// The platform's virtual host.
    pub(crate) vhost: String,
    /// Certificate authority of RabbitMQ, as PEM.
    pub(crate) broker_ca: Option<String>,
    /// chat-service's gRPC.
    pub(crate) chat_grpc: Vec<String>,
    /// Certificate authority of chat-service, as PEM.
    pub(crate) chat_ca: Option<String>,
    /// Who we are, to chat-service.
    pub(crate) token: Token,
}

/// Who we are, to chat-service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// In a file, which somebody renews.
    File(PathBuf),
    /// The token itself, for as long as it holds.
    Given(Arc<str>),
}

/// Clients of the servers.
pub(crate) struct Servers {
    context: Context,
    listener: Option<Listener>,
}

impl Addresses {
    /// From the command line.
    pub(crate) fn given(args: &args::Servers) -> anyhow::Result<Self> {
        let ca = args
            .tls_ca
            .as_ref()
            .map(|path| std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display())));
        let ca = ca.transpose()?;
        Ok(Self {
            management_url: args.management_url.clone().context("--management-url is missing")?,
            amqp_urls: args.amqp_url.iter().cloned().collect(),
            vhost: args.vhost.clone(),
            broker_ca: ca.clone(),
            chat_grpc: args.chat_grpc.clone(),
            chat_ca: ca,
            token: Token::File(args.service_token_file.clone().context("--service-token-file is missing")?),
        })
    }
}

impl Servers {
    /// Connects when first asked; an address that is none is an error at once.
    pub(crate) fn new(addresses: &Addresses) -> anyhow::Result<Self> {
        let ca = addresses.broker_ca.as_deref();
        let broker = Broker::new(&addresses.management_url, &addresses.vhost, ca)?;
        let bearer = match &addresses.token {
            Token::File(path) => Bearer::File(ServiceTokenFile::new(path)),
            Token::Given(token) => Bearer::Given(format!("Bearer {token}").into()),
        };
        let service = RoomsService::new(&addresses.chat_grpc, bearer, addresses.chat_ca.as_deref())?;
        let listener = Listener::new(&addresses.amqp_urls, &addresses.vhost, broker.clone(), ca)?;
        let listener = Some(listener).filter(|_| !addresses.amqp_urls.is_empty());
        Ok(Self { context: Context::new(broker, service), listener })
    }

    /// What is known of them.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Keeps the rooms that `ears` hear of true, until shutdown or until it is dropped.
    pub(crate) async fn keep_rooms(self, board: Board, settings: Settings, ears: &mut Ears, shutdown: &Shutdown) {
        let Self { context, listener } = self;
        let Some(listener) = listener else {
            return worker::run(context, board, settings, ears, None, shutdown).await;
        };
        let (sender, hints) = mpsc::channel(HINTS_MOST);
        let work = worker::run(context, board, settings, ears, Some(hints), shutdown);
        tokio::join!(listener.run(sender, shutdown.clone()), work);
    }
}
