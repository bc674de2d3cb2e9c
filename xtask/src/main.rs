//! The project's commands (`cargo xtask …`): start, stop, watch, generate and test. This file only picks one;
//! it compiles before everything else, so this package keeps its dependencies few.

mod args;
mod cargo;
mod demo;
mod down;
mod faults;
mod foreground;
mod generate;
mod guard;
mod http;
mod images;
mod interrupt;
mod keys;
mod launch;
mod layout;
mod logs;
mod node;
mod ports;
mod process;
mod procfs;
mod programs;
mod progress;
mod restart;
mod rooms;
mod scaling_sim;
mod scratch;
mod secrets;
mod servers;
mod status;
mod test;
mod tools;
mod up;
mod wait;
mod web;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    procfs::require()?;
    procfs::own_path()?;
    interrupt::install()?;
    match arguments.command {
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options.place.layout()?, options.wipe),
        Command::Restart(options) => restart::run(&options.place.layout()?, &options.process),
        Command::Logs(options) => logs::run(&options.place.layout()?, &options.process, options.follow),
        Command::Status(options) => status::run(&options.place.layout()?),
        Command::Gen(options) => generate::run(options.check),
        Command::Images(options) => images::write(&options),
        Command::Node(options) => node::run(&options),
        Command::NodeInside(options) => node::run_inside(&options),
        Command::Tools => tools::print_for_tour(),
        Command::ScalingSim => scaling_sim::run(),
        Command::Test(options) => test::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Guard(options) => guard::run(&options),
    }
}
