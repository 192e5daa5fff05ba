//! The chores of the workspace: `cargo xtask test` and what it is made of.
//!
//! Knows the tools that judge the project and how to call them. Knows nothing of what the code
//! does: it builds, starts and reads exit statuses.
//!
//! Invariants: nothing is skipped without a word; whatever a chore writes is below the target
//! directory; it ends no process but its own children.
#![forbid(unsafe_code)]

mod autobahn;
mod bench;
mod capi;
mod certificate;
mod command;
mod compile;
mod conformance;
mod core;
mod header;
mod icount;
mod msrv;
mod network;
mod setup;
mod stage;
mod tool;
mod uwebsockets;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::autobahn::AutobahnArgs;
use crate::capi::{CapiArgs, SoakArgs};
use crate::command::Failure;
use crate::stage::Stage;
use crate::workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                      everything, in order, until something fails
  cargo xtask test fmt clippy unit      some stages (they install what they need)
  cargo xtask test --keep-going         everything, whatever fails
  cargo xtask list                      the stages, and what each does
  cargo xtask autobahn server --driver poll --cases 9
  cargo xtask autobahn client --tls openssl --cases 7.1
  cargo xtask peers -k smuggling        pytest's own arguments, on the real binary
  cargo xtask capi --prefix DIR         libwebsockets.so, its header and pkg-config file
  cargo xtask soak --seconds 600        a thousand connections, a thousand broadcasts a second
  cargo xtask bench --quick             all peers, a few short rounds

Reports, screenshots, the Python and the Node modules that tests need go to target/.";

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, after_help = EXAMPLES)]
/// The chores of the sockeye workspace.
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what is missing and run the tests, stage by stage
    Test {
        /// Stages to run, in the order of `cargo xtask list`; all of them when none is named
        stages: Vec<Stage>,
        /// Go on after a stage has failed
        #[arg(long)]
        keep_going: bool,
        /// Install nothing: say what is missing, and fail
        #[arg(long)]
        no_install: bool,
    },
    /// List the stages of `test`
    List,
    /// Run the Autobahn testsuite against our server, our client, or both
    Autobahn(AutobahnArgs),
    /// Run the pytest part of the foreign peers; arguments go to pytest
    Peers {
        /// Arguments for pytest
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run the demo page in headless Chromium and take screenshots
    Browser,
    /// Build the C library, and lay it out with its header for pkg-config
    Capi(CapiArgs),
    /// Broadcast to many connections by the C library, from another process, for a while
    Soak(SoakArgs),
    /// Compare the header of the C library with the library, and with programs of 2011
    Header,
    /// Compare with peers: server CPU per message, memory per connection; see `bench/README.md`
    Bench {
        /// Arguments for the runner, such as --quick, --cells tls,idle, --peers ws or --list
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Measure how fast the protocol core takes frames, beside a copy of as many bytes
    Core,
    /// Count the instructions of the hot paths and compare them with `bench/icount/table.txt`
    Icount {
        /// Make the table anew
        #[arg(long)]
        renew: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Test {
            stages,
            keep_going,
            no_install,
        } => stage::run_all(&workspace, &stages, keep_going, !no_install),
        Chore::List => {
            stage::list();
            Ok(())
        }
        Chore::Autobahn(args) => {
            setup::ensure(&workspace, &[Stage::Autobahn, Stage::AutobahnTls], true)?;
            autobahn::run(&workspace, &args)
        }
        Chore::Peers { arguments } => {
            setup::ensure(&workspace, &[Stage::Peers], true)?;
            conformance::pytest(&workspace, &arguments)
        }
        Chore::Browser => {
            setup::ensure(&workspace, &[Stage::Browser], true)?;
            conformance::browser(&workspace)
        }
        Chore::Capi(args) => {
            setup::ensure(&workspace, &[Stage::Build], true)?;
            capi::install(&workspace, &args).map(drop)
        }
        Chore::Soak(args) => {
            setup::ensure(&workspace, &[Stage::Capi], true)?;
            capi::soak(&workspace, &args)
        }
        Chore::Header => {
            setup::ensure(&workspace, &[Stage::Capi], true)?;
            let args = CapiArgs::debug();
            header::check(&workspace, &capi::install(&workspace, &args)?)
        }
        Chore::Bench { arguments } => bench::run(&workspace, &arguments),
        Chore::Core => core::run(&workspace),
        Chore::Icount { renew } => {
            setup::ensure(&workspace, &[Stage::Icount], true)?;
            icount::run(&workspace, renew)
        }
    }
}
