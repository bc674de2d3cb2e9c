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

fn main() -> anyhow::Result<()> {
    let args = args::Args::parse();
    let metrics = service::telemetry::init("chat-service")?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(boot::run(args, metrics))
}
