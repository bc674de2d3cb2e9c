//! The operator: parses the command line, then runs or prints.

mod args;
mod broker;
mod context;
mod crd;
mod fault;
mod http;
mod platform;
mod report;
mod room;
mod rooms_service;
mod run;
mod source;
mod worker;

use clap::Parser;

use args::{Cli, Command};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crd => {
            print!("{}", crd::print()?);
            Ok(())
        }
        Command::Run(args) => start(args),
    }
}

#[tokio::main]
async fn start(args: Box<args::Run>) -> anyhow::Result<()> {
    let metrics = service::telemetry::init("operator")?;
    run::run(args, metrics).await
}
