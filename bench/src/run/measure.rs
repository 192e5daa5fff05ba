//! Rounds: each measures every cell with every peer, so that what the machine does otherwise meets
//! all of them alike.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cell::{Cell, Deflate};
use crate::failure::Failure;
use crate::machine::{self, Machine};
use crate::peer::Peer;
use crate::result::{Results, Sample};
use crate::server::{Certificate, Server, pinned};

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Rig {
    /// Built by cargo.
    pub(crate) programs: PathBuf,
    /// Compiled from C.
    pub(crate) compiled: PathBuf,
    /// Sources of peers.
    pub(crate) peers: PathBuf,
    pub(crate) node_modules: PathBuf,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
    pub(crate) certificate: Certificate,
}

/// Servers that stay between measurements: an idle process costs nothing, and a warm one is what
/// users have.
type Servers = BTreeMap<Kind, Server>;

/// What is the same server: its name, whether it speaks TLS, how it compresses.
type Kind = (&'static str, bool, Option<Deflate>);

fn kind(cell: &Cell, peer: &Peer) -> Kind {
    (peer.name, cell.tls, cell.deflate())
}

/// Nobody is always the first or always behind the same neighbour.
fn whose_turn(place: usize, round: usize, count: usize) -> usize {
    let place = match round % 2 {
        0 => place,
        _ => count - 1 - place,
    };
    (place + round) % count
}

impl Rig {
    pub(crate) fn measure(
        &self,
        cells: &[Cell],
        peers: &[&'static Peer],
        rounds: usize,
        seconds: f64,
    ) -> Result<Results, Failure> {
        let mut results = Results {
            machine: Machine::look(),
            load_after: String::new(),
            cells: cells.to_vec(),
            peers: peers.to_vec(),
            versions: BTreeMap::new(),
            samples: BTreeMap::new(),
            failed: 0,
        };
        let mut servers = Servers::new();
        for round in 0..rounds {
            println!("round {} of {rounds}", round + 1);
            for cell in cells.iter().filter(|cell| round < cell.rounds(rounds)) {
                print!("  {:<24}", cell.name);
                for place in 0..peers.len() {
                    let peer = peers[whose_turn(place, round, peers.len())];
                    if !peer.does(cell) {
                        continue;
                    }
                    let sample = self.sample(&mut servers, cell, peer, seconds);
                    match &sample {
                        Ok((sample, version)) => {
                            print!(" {} {}", peer.name, sample.text(cell.load));
                            results
                                .versions
                                .entry(peer.name)
                                .or_insert_with(|| version.clone());
                            if cell.tls {
                                results.versions.insert(peer.name, version.clone());
                            }
                        }
                        Err(why) => {
                            print!(" {} FAILED ({why})", peer.name);
                            results.failed += 1;
                            servers.remove(&kind(cell, peer));
                        }
                    }
                    let _ = io::stdout().flush();
                    let of_cell = results.samples.entry((cell.name, peer.name)).or_default();
                    of_cell.push(sample.ok().map(|(sample, _)| sample));
                }
                println!();
            }
        }
        results.load_after = machine::load();
        Ok(results)
    }

    fn sample(
        &self,
        servers: &mut Servers,
        cell: &Cell,
        peer: &'static Peer,
        seconds: f64,
    ) -> Result<(Sample, String), Failure> {
        let key = kind(cell, peer);
        let fresh = cell.wants_fresh_server();
        let server = match servers.remove(&key) {
            Some(server) if !fresh => server,
            _ => Server::start(self, peer, cell.tls, cell.deflate())?,
        };
        let sample = self.load(cell, &server, seconds)?;
        let version = server.version.clone();
        if !fresh && server.rests() {
            servers.insert(key, server);
        }
        Ok((sample, version))
    }

    fn load(&self, cell: &Cell, server: &Server, seconds: f64) -> Result<Sample, Failure> {
        let mut load = Command::new(self.programs.join("bench-load"));
        load.args(cell.arguments(seconds));
        load.args([
            "--json",
            "--watch",
            &server.pid().to_string(),
            &server.url(cell.path()),
        ]);
        let output = pinned(self.load_core, &load)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::new(format!("start bench-load: {error}")))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(why.trim().trim_start_matches("bench-load: ")));
        }
        let sample: Sample = serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::new(format!("bench-load says nonsense: {error}")))?;
        if sample.is_sound() {
            Ok(sample)
        } else {
            Err(Failure::new("nothing was measured"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_turn_in_every_round_and_changes_neighbours() {
        let orders: Vec<Vec<_>> = (0..7)
            .map(|round| (0..5).map(|place| whose_turn(place, round, 5)).collect())
            .collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        for one in 0..5 {
            let firsts = orders.iter().filter(|order| order[0] == one).count();
            assert!(firsts < 4, "{one} is mostly first");
            for other in 0..5 {
                let behind = |order: &&Vec<usize>| order.windows(2).any(|two| two == [other, one]);
                assert!(
                    orders.iter().filter(behind).count() <= 4,
                    "{one} behind {other}"
                );
            }
        }
    }
}
