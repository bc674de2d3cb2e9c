//! user-service: accounts, tokens and sessions, over HTTP for people and over gRPC for Parlor's programs.

mod accounts;
mod args;
mod bearer;
mod error;
mod grpc;
mod http;
mod limits;
mod measures;
mod passwords;
mod revocations;
mod secret;
mod sessions;
mod standalone;
mod state;
mod stem;
mod store;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use service::cache::Cache;
use service::health::Health;
use service::limits::Limiter;
use service::shutdown::Shutdown;
use service::{database, serve, telemetry};
use tokens::Verifier;
use tokens::keys::Keys;

use accounts::Accounts;
use accounts::grant::Issuer;
use args::Args;
use limits::Limits;
use passwords::Passwords;
use revocations::Revocations;
use sessions::Sessions;
use standalone::ServiceTokens;
use state::{App, Edge};

/// What `schema_version.min_program` is compared with.
const PROGRAM_VERSION: u32 = 1;
/// How long requests that are being answered may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(args::READY) {
        return service::probe::ask(args::Ready::parse_from(std::env::args().skip(1)).health.health);
    }
    let args = Args::parse();
    let metrics = telemetry::init("user-service")?;
    measures::describe();
    let shutdown = Shutdown::on_signals();
    let health = Health::new();
    let http = serve::bind(args.http)?;
    let grpc = serve::bind(args.grpc)?;
    let tls = args.tls.load()?;
    let app = boot(&args, tls.is_some(), &health, &shutdown)?;
    let grpc_router = grpc::router(app.clone(), health.clone())?;
    let edges = async {
        tokio::try_join!(
            serve::serve(http, tls.clone(), http::router(app), &shutdown, DRAIN),
            serve::serve(grpc, tls.clone(), grpc_router, &shutdown, DRAIN),
        )
    };
    tokio::select! {
        // Ends only if it fails: it tells of the draining too.
        outcome = service::health::serve(args.health.health, health, metrics, shutdown.clone()) => outcome,
        outcome = edges => outcome.map(drop),
    }
}

/// Makes the state. Waits for no server: what is not there yet stands in `/readyz`.
fn boot(args: &Args, own_tls: bool, health: &Health, shutdown: &Shutdown) -> anyhow::Result<App> {
    let database = database::open(&args.database, PROGRAM_VERSION, health.gate("postgres"), shutdown)?;
    let cache = Cache::connect(&args.redis_url, health.gate("redis"))?;
    let keys_check = health.check("keys");
    if args.make_key {
        standalone::ensure_key(&args.keys)?;
    }
    let keys = Keys::watch(&args.keys, shutdown.token())?;
    keys_check.ready();
    if let Some(folder) = args.service_tokens.clone() {
        let tokens = ServiceTokens { folder, keys: keys.clone(), issuer: args.issuer.clone() };
        tokens.write()?;
        tokio::spawn(tokens.keep());
    }
    let access_life = Duration::from_secs(args.access_token_seconds.into());
    let revocations = Revocations::new(cache.clone());
    tokio::spawn(revocations.clone().keep_reading(shutdown.clone()));
    let accounts = Accounts {
        database,
        sessions: Sessions::new(cache.clone(), revocations.clone(), access_life),
        revocations,
        passwords: Passwords::new(args.hashes()),
        issuer: Issuer::new(keys.clone(), args.issuer.clone(), access_life),
        verifier: Verifier::local(keys.clone(), &args.issuer),
        registration: args.registration,
    };
    let edge = Edge {
        secure_cookies: args.over_tls(own_tls),
        trust_forwarded: args.trust_forwarded,
        allowed_origins: args.allowed_origins.clone(),
    };
    let limits = Limits::new(Limiter::new(cache, !args.no_rate_limits));
    Ok(App { accounts, limits, keys, edge: Arc::new(edge), shutdown: shutdown.clone() })
}
