//! Starts everything that the roles of this process need, in the order in which one part needs the other, and stops it again.
//! Waits for no server: what is not there yet stands in `/readyz`.

use crate::args::{Args, Role};
use crate::broker::Broker;
use crate::live::Live;
use crate::log::Logs;
use crate::rooms::access::Access;
use crate::sockets::Sockets;
use crate::state::{Settings, State};
use crate::users::Users;
use crate::{gateways, grpc, historian, outbox, rooms, router, watch};
use anyhow::{Context as _, Result};
use service::cache::Cache;
use service::database::{self, Database};
use service::health::{Check, Health};
use service::limits::Limiter;
use service::serve::{self, Tls};
use service::shutdown::Shutdown;
use service::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokens::{ServiceTokenFile, Verifier};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What `schema_version.min_program` is compared with.
const PROGRAM_VERSION: u32 = 1;
/// What the historian may take to store what it has read.
const HISTORIAN_LIMIT: Duration = Duration::from_secs(15);

/// What both roles use.
struct Parts {
    args: Args,
    health: Health,
    shutdown: Shutdown,
    database: Database,
    broker: Broker,
}

/// Where the gateway listens.
struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    tls: Option<Tls>,
}

/// Runs until the word to stop, or until something fails for good.
pub(crate) async fn run(args: Args, metrics: Metrics) -> Result<()> {
    let shutdown = Shutdown::on_signals();
    let health = Health::new();
    // First what fails for a reason that no waiting mends.
    let listeners = args.has(Role::Gateway).then(|| listen(&args)).transpose()?;
    let database = database::open(&args.database, PROGRAM_VERSION, health.gate("postgres"), &shutdown)?;
    let broker = Broker::start(args.amqp_url.clone(), health.gate("rabbitmq"), &shutdown);
    let address = args.health.health;
    let parts = Parts { args, health: health.clone(), shutdown: shutdown.clone(), database, broker };
    let historian = parts.args.has(Role::Historian).then(|| start_historian(&parts));
    let work = async {
        if let Some(listeners) = listeners {
            serve_gateway(&parts, listeners).await?;
        }
        shutdown.begun().await;
        if let Some(historian) = historian
            && timeout(HISTORIAN_LIMIT, historian).await.is_err()
        {
            tracing::warn!("the historian did not end in time; another one goes on where it was");
        }
        Ok(())
    };
    tokio::select! {
        // Ends only if it fails: it tells of the draining too.
        outcome = service::health::serve(address, health, metrics, shutdown.clone()) => outcome,
        outcome = work => outcome,
    }
}

fn listen(args: &Args) -> Result<Listeners> {
    Ok(Listeners { http: serve::bind(args.http)?, grpc: serve::bind(args.grpc)?, tls: args.tls.load()? })
}

fn start_historian(parts: &Parts) -> JoinHandle<()> {
    let Parts { args, health, shutdown, database, broker } = parts;
    let (database, broker, shutdown) = (database.clone(), broker.clone(), shutdown.clone());
    let (name, check) = (args.gateway_name.clone(), health.gate("historian"));
    tokio::spawn(async move {
        tokio::select! {
            () = database.suitable() => {}
            () = shutdown.begun() => return,
        }
        historian::run(database.pool().clone(), broker, name, check, shutdown).await;
    })
}

/// Serves until the word to stop; then sockets are told to go elsewhere while requests that run end.
async fn serve_gateway(parts: &Parts, listeners: Listeners) -> Result<()> {
    let state = start_gateway(parts)?;
    let Parts { args, health, shutdown, .. } = parts;
    let drain = Duration::from_secs(args.drain_seconds);
    let grpc = grpc::router(state.clone(), health.clone(), shutdown.clone())?;
    let http = router::router(state.clone());
    let Listeners { http: http_listener, grpc: grpc_listener, tls } = listeners;
    let leaving = async {
        shutdown.begun().await;
        state.sockets.drain(Duration::from_secs(args.drain_spread_seconds), drain).await;
        Ok(())
    };
    tokio::try_join!(
        serve::serve(http_listener, tls.clone(), http, shutdown, drain),
        serve::serve(grpc_listener, tls, grpc, shutdown, drain),
        leaving,
    )?;
    Ok(())
}

fn start_gateway(parts: &Parts) -> Result<State> {
    let Parts { args, health, shutdown, database, broker } = parts;
    let pool = database.pool().clone();
    let live = Live::start(broker, &args.gateway_name);
    let logs = Logs::start(pool.clone(), broker.clone(), live.clone(), &args.gateway_name, shutdown);
    // Losable by design: nobody waits for it.
    let cache = Cache::connect(&args.redis_url, health.note("redis"))?;
    let token = ServiceTokenFile::new(&args.service_token_file);
    let state = State {
        pool: pool.clone(),
        logs: logs.clone(),
        live,
        outbox: outbox::start(pool.clone(), logs, shutdown),
        users: Users::start(&args.users_grpc, token, health.note("user-service"), shutdown)
            .context("failed to prepare the connection to user-service")?,
        limiter: Limiter::new(cache, !args.no_rate_limits),
        verifier: verifier(args, health.gate("keys"))?,
        access: Access::new(pool.clone()),
        sockets: Sockets::new(),
        settings: Arc::new(Settings {
            users_url: args.users_url.clone(),
            rate_limits: !args.no_rate_limits,
            echo: args.echo,
        }),
    };
    tokio::spawn(watch::run(state.clone(), shutdown.clone()));
    let (state_of_names, database, shutdown, name) =
        (state.clone(), database.clone(), shutdown.clone(), args.gateway_name.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = database.suitable() => {}
            () = shutdown.begun() => return,
        }
        tokio::join!(gateways::keep(pool, name, shutdown.clone()), rooms::names::run(state_of_names, shutdown));
    });
    Ok(state)
}

fn verifier(args: &Args, check: Check) -> Result<Verifier> {
    let report = move |fetched: Result<(), &str>| match fetched {
        Ok(()) => check.ready(),
        Err(reason) => check.not_ready(reason),
    };
    Verifier::remote(&args.jwks(), &args.issuer, report).context("failed to prepare the fetching of keys")
}
