//! The operator: parses the command line, then runs or prints.

mod args;
mod broker;
mod cluster;
mod context;
mod crd;
mod fault;
mod http;
mod platform;
mod report;
mod room;
mod rooms_service;
mod run;
mod servers;
mod source;
mod validate;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Crd => {
            print!("{}", crd::print()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Validate(args) => validate::run(&args.paths),
        Command::Ready(args) => service::probe::ask(args.status).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => start(args).map(|()| ExitCode::SUCCESS),
    }
}

#[tokio::main]
async fn start(args: Box<args::Run>) -> anyhow::Result<()> {
    let metrics = service::telemetry::init("operator")?;
    run::run(args, metrics).await
}
