//! The `sockeye` command.
//!
//! Knows which subcommand was asked for and how a failure is told: one line on stderr, and the exit
//! status. What the subcommands do is their own business.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod connect;
mod failure;
mod narrator;
mod password;
mod ping;
mod remote;
mod serve;
mod signal;
mod terminal;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match Cli::parse_command() {
        Command::Serve(args) => serve::run(args).map(|()| ExitCode::SUCCESS),
        Command::Connect(args) => connect::run(args).map(|()| ExitCode::SUCCESS),
        Command::Ping(args) => ping::run(args),
        Command::Bench(args) => bench::run(*args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sockeye", &mut script);
            terminal::print(&script).map(|()| ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|failure| {
        terminal::complain(&failure);
        ExitCode::FAILURE
    })
}
