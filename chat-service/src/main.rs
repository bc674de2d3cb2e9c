//! chat-service: WebSocket gateway, REST and gRPC; and the historian that remembers the logs.

mod args;
mod boot;
mod broker;
mod error;
mod feed;
mod gateways;
mod grpc;
mod historian;
mod http;
mod live;
mod log;
mod outbox;
mod retention;
mod rooms;
mod router;
mod session;
mod sockets;
mod state;
mod store;
#[cfg(test)]
mod testing;
mod users;
mod watch;
mod websocket;

use clap::Parser;
use service::shutdown::Shutdown;

fn main() -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    // Beside the program's own arguments, most of which it needs not.
    if std::env::args().nth(1).as_deref() == Some(args::MIGRATE) {
        let args = args::Migrate::parse_from(std::env::args().skip(1));
        service::telemetry::init("chat-service migrate")?;
        return runtime()?
            .block_on(async { service::database::migrate(&args.database, &Shutdown::on_signals()).await });
    }
    if std::env::args().nth(1).as_deref() == Some(args::READY) {
        return service::probe::ask(args::Ready::parse_from(std::env::args().skip(1)).health.health);
    }
    let args = args::Args::parse();
    let metrics = service::telemetry::init("chat-service")?;
    runtime()?.block_on(boot::run(args, metrics))
}
