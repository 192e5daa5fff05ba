//! The runner: every peer under the same loads, interleaved, round after round, on one core each
//! for server and load generator.
//!
//! Knows how peers are started and how results are compared and told; measures nothing itself:
//! `bench-load` does. Ends no process but those it started.
#![forbid(unsafe_code)]

mod cell;
mod descriptors;
mod failure;
mod machine;
mod measure;
mod peer;
mod plot;
mod report;
mod result;
mod server;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::cell::Cell;
use crate::failure::Failure;
use crate::measure::Rig;
use crate::peer::Peer;
use crate::result::Results;

/// Compares sockeye with its peers: server processor time per message, memory per connection.
///
/// Run it as `cargo xtask bench`, which builds and finds everything.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// One short round, to see that all works; the report is printed, not kept
    #[arg(long)]
    quick: bool,
    /// How often each cell is measured with each peer
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Only cells whose name contains one of these, with commas; `--list` names them
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// Only these peers, with commas; ours always takes part
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// List cells and peers, and measure nothing
    #[arg(long)]
    list: bool,
    /// Keep a report of chosen cells or peers too
    #[arg(long)]
    keep: bool,
    /// The core that servers run on
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core that the load generator runs on
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Where the programs are
    #[arg(long, default_value = "target/release", hide = true)]
    programs: PathBuf,
    /// Where npm's modules are
    #[arg(long, default_value = "target/node/node_modules", hide = true)]
    node_modules: PathBuf,
    /// Where results, the certificate and programs in C are
    #[arg(long, default_value = "target/bench", hide = true)]
    folder: PathBuf,
    /// The folder of this crate
    #[arg(long, default_value = "bench", hide = true)]
    bench: PathBuf,
}

/// Where pictures are, beside the report.
const PLOTS: &str = "plots";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-run: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut cells = cell::chosen(&arguments.cells, arguments.quick)?;
    descriptors::allow(&mut cells);
    let peers = peer::chosen(&arguments.peers)?;
    if arguments.list {
        list(&cells, &peers);
        return Ok(());
    }
    fs::create_dir_all(&arguments.folder).map_err(Failure::file(&arguments.folder))?;
    let (rounds, seconds) = match arguments.quick {
        true => (1, 0.15),
        false => (arguments.rounds, arguments.seconds),
    };
    let rig = Rig {
        programs: arguments.programs.clone(),
        node_modules: arguments.node_modules.clone(),
        peers: arguments.bench.join("peers"),
        compiled: arguments.folder.clone(),
        server_core: arguments.server_core,
        load_core: arguments.load_core,
        certificate: server::certificate(&arguments.folder)?,
    };
    let results = rig.measure(&cells, &peers, rounds, seconds)?;
    let json = arguments.folder.join("results.json");
    fs::write(&json, results.json()?).map_err(Failure::file(&json))?;
    let whole = arguments.cells.is_empty() && arguments.peers.is_empty() && !arguments.quick;
    let keep = whole || arguments.keep;
    let plots = match keep {
        true => arguments.bench.join(PLOTS),
        false => arguments.folder.join(PLOTS),
    };
    let drawn = plot::draw(&results, &plots)?;
    let report = report::markdown(&results);
    println!("\n{report}");
    println!("every measurement: {}", json.display());
    println!("plots: {}", plots.display());
    if keep {
        let report = report::illustrated(&report, PLOTS, &drawn);
        let readme = arguments.bench.join("README.md");
        let text = fs::read_to_string(&readme).map_err(Failure::file(&readme))?;
        let text = report::inserted(&text, &report)?;
        fs::write(&readme, text).map_err(Failure::file(&readme))?;
    }
    failures(&results)
}

fn list(cells: &[Cell], peers: &[&'static Peer]) {
    for cell in cells {
        println!("{:<24} {}", cell.name, cell.about());
    }
    println!();
    for peer in peers {
        println!("{:<24} {}", peer.name, peer.about);
    }
}

/// A failed measurement is told where it happens, and again at the end.
fn failures(results: &Results) -> Result<(), Failure> {
    match results.failed {
        0 => Ok(()),
        count => Err(Failure::new(format!(
            "{count} measurements failed, see above"
        ))),
    }
}
