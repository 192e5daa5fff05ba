//! The loads under which peers are compared.

use crate::failure::Failure;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) tls: bool,
    pub(crate) load: Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Messages of so many bytes, so many in flight on each connection.
    Echo {
        size: usize,
        connections: usize,
        pipeline: usize,
    },
    /// So many connections that do nothing.
    Idle { connections: usize },
    /// Open and close, so many at a time.
    Connect { at_once: usize },
}

const fn echo(
    name: &'static str,
    tls: bool,
    size: usize,
    connections: usize,
    pipeline: usize,
) -> Cell {
    let load = Load::Echo {
        size,
        connections,
        pipeline,
    };
    Cell { name, tls, load }
}

const fn other(name: &'static str, tls: bool, load: Load) -> Cell {
    Cell { name, tls, load }
}

const CELLS: &[Cell] = &[
    echo("plain-20-c1-p1", false, 20, 1, 1),
    echo("plain-20-c100-p1", false, 20, 100, 1),
    echo("plain-20-c100-p16", false, 20, 100, 16),
    echo("plain-1k-c100-p1", false, 1024, 100, 1),
    echo("plain-1k-c100-p16", false, 1024, 100, 16),
    echo("plain-16k-c100-p1", false, 16 * 1024, 100, 1),
    echo("tls-1k-c100-p1", true, 1024, 100, 1),
    echo("tls-1k-c100-p16", true, 1024, 100, 16),
    echo("tls-16k-c100-p1", true, 16 * 1024, 100, 1),
    other("connect-plain", false, Load::Connect { at_once: 64 }),
    other("connect-tls", true, Load::Connect { at_once: 64 }),
    other(
        "idle-plain",
        false,
        Load::Idle {
            connections: 10_000,
        },
    ),
    other("idle-tls", true, Load::Idle { connections: 5_000 }),
];

/// Memory hardly varies: more rounds would only take longer.
const IDLE_ROUNDS: usize = 3;
/// Enough to see that it works.
const QUICK_IDLE: usize = 1000;

impl Cell {
    /// In words.
    pub(crate) fn about(&self) -> String {
        let tls = if self.tls { "TLS, " } else { "" };
        match self.load {
            Load::Echo {
                size,
                connections,
                pipeline,
            } => {
                let size = match size {
                    size if size >= 1024 => format!("{} KiB", size / 1024),
                    size => format!("{size} B"),
                };
                let plural = if connections == 1 { "" } else { "s" };
                format!("{tls}{size}, {connections} connection{plural}, {pipeline} in flight")
            }
            Load::Connect { at_once } => {
                let tls = if self.tls { " TLS," } else { "" };
                format!("connect,{tls} handshake, close; {at_once} at a time")
            }
            Load::Idle { connections } => format!("{tls}{connections} idle connections"),
        }
    }

    /// How often it is measured when others are `rounds` times.
    pub(crate) fn rounds(&self, rounds: usize) -> usize {
        match self.load {
            Load::Idle { .. } => rounds.min(IDLE_ROUNDS),
            _ => rounds,
        }
    }

    /// The command line of the load generator, but for the server.
    pub(crate) fn arguments(&self, seconds: f64) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut option = |name: &str, value: &dyn ToString| {
            words.push(name.to_owned());
            words.push(value.to_string());
        };
        let mode = match self.load {
            Load::Echo {
                size,
                connections,
                pipeline,
            } => {
                option("--size", &size);
                option("--connections", &connections);
                option("--pipeline", &pipeline);
                "echo"
            }
            Load::Connect { at_once } => {
                option("--at-once", &at_once);
                "connect"
            }
            Load::Idle { connections } => {
                option("--connections", &connections);
                "idle"
            }
        };
        if !matches!(self.load, Load::Idle { .. }) {
            option("--seconds", &seconds);
            option("--warmup", &(seconds / 2.0));
        }
        words.insert(0, mode.to_owned());
        words
    }
}

/// The cells whose name contains one of `patterns`, all of them if there is none.
pub(crate) fn chosen(patterns: &[String], quick: bool) -> Result<Vec<Cell>, Failure> {
    for pattern in patterns {
        if !CELLS
            .iter()
            .any(|cell| cell.name.contains(pattern.as_str()))
        {
            return Err(Failure::new(format!(
                "no cell is called {pattern}; --list names them"
            )));
        }
    }
    let wanted = |cell: &&Cell| {
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| cell.name.contains(pattern.as_str()))
    };
    let mut cells: Vec<Cell> = CELLS.iter().filter(wanted).copied().collect();
    for cell in &mut cells {
        if let Load::Idle { connections } = &mut cell.load
            && quick
        {
            *connections = QUICK_IDLE;
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_chosen_by_part_of_their_name() {
        let names = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
            chosen(&patterns, false).map(|cells| cells.iter().map(|cell| cell.name).collect())
        };
        assert_eq!(names(&["idle"]).ok(), Some(vec!["idle-plain", "idle-tls"]));
        assert_eq!(
            names(&[]).map(|all: Vec<_>| all.len()).ok(),
            Some(CELLS.len())
        );
        assert!(names(&["idle", "nonsense"]).is_err());
    }

    #[test]
    fn a_cell_says_what_it_is() {
        let about = |name: &str| {
            let cell = CELLS.iter().find(|cell| cell.name == name);
            cell.map(Cell::about).unwrap_or_default()
        };
        assert_eq!(about("plain-20-c1-p1"), "20 B, 1 connection, 1 in flight");
        assert_eq!(
            about("tls-16k-c100-p1"),
            "TLS, 16 KiB, 100 connections, 1 in flight"
        );
        assert_eq!(about("idle-tls"), "TLS, 5000 idle connections");
        assert_eq!(
            about("connect-tls"),
            "connect, TLS, handshake, close; 64 at a time"
        );
    }
}
