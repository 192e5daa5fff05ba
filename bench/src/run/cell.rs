//! The loads under which peers are compared.

use crate::failure::Failure;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) tls: bool,
    /// Messages are text of many scripts.
    pub(crate) text: bool,
    /// Messages are JSON, and compressed like this; `None`: they are noise.
    pub(crate) json: Option<Deflate>,
    pub(crate) load: Load,
}

/// How messages are compressed (permessage-deflate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deflate {
    Off,
    /// Each by itself.
    Pooled,
    /// Referring to earlier ones.
    Takeover,
}

impl Deflate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pooled => "pooled",
            Self::Takeover => "takeover",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Messages of so many bytes, so many in flight on each connection, and so many connections
    /// that are idle beside them.
    Echo {
        size: usize,
        connections: usize,
        pipeline: usize,
        idle: usize,
    },
    /// So many messages a second on all connections together: how long does an echo take?
    Latency {
        size: usize,
        connections: usize,
        rate: u32,
    },
    /// So many connections that do nothing, after so many echoes of 1 KiB.
    Idle { connections: usize, talk: usize },
    /// Messages of so many bytes to so many connections; a new one when all have the oldest of those
    /// in flight.
    Broadcast {
        size: usize,
        connections: usize,
        pipeline: usize,
    },
    /// Open and close, so many at a time.
    Connect { at_once: usize },
}

const KIB: usize = 1024;

/// A cell without TLS.
const fn plain(name: &'static str, load: Load) -> Cell {
    Cell {
        name,
        tls: false,
        text: false,
        json: None,
        load,
    }
}

const fn tls(name: &'static str, load: Load) -> Cell {
    Cell {
        tls: true,
        ..plain(name, load)
    }
}

const fn json(name: &'static str, deflate: Deflate, load: Load) -> Cell {
    Cell {
        json: Some(deflate),
        ..plain(name, load)
    }
}

/// What a cell is compared in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Processor time, each peer with the others.
    Cost,
    /// The same, with compression.
    Packed,
    /// Memory.
    Idle,
    Latency,
    /// Each peer with itself under less load.
    Growth,
}

const fn echo(size: usize, connections: usize, pipeline: usize) -> Load {
    grown(size, connections, pipeline, 0)
}

const fn grown(size: usize, connections: usize, pipeline: usize, idle: usize) -> Load {
    Load::Echo {
        size,
        connections,
        pipeline,
        idle,
    }
}

const fn broadcast(size: usize, connections: usize, pipeline: usize) -> Load {
    Load::Broadcast {
        size,
        connections,
        pipeline,
    }
}

const fn latency(size: usize, connections: usize, rate: u32) -> Load {
    Load::Latency {
        size,
        connections,
        rate,
    }
}

const fn idle(connections: usize) -> Load {
    Load::Idle {
        connections,
        talk: 0,
    }
}

const CONNECT: Load = Load::Connect { at_once: 64 };
const JSON_P1: Load = echo(KIB, 100, 1);
const JSON_P16: Load = echo(KIB, 100, 16);
const JSON_TALKED: Load = Load::Idle {
    connections: 500,
    talk: 8,
};
const JSON_BROADCAST: Load = broadcast(KIB, 1000, 1);

const CELLS: &[Cell] = &[
    plain("plain-20-c1-p1", echo(20, 1, 1)),
    plain("plain-20-c100-p1", echo(20, 100, 1)),
    plain("plain-20-c100-p16", echo(20, 100, 16)),
    plain("plain-20-c1000-p1", echo(20, 1000, 1)),
    plain("plain-20-c1000-p16", echo(20, 1000, 16)),
    plain("plain-1k-c100-p1", echo(KIB, 100, 1)),
    plain("plain-1k-c100-p16", echo(KIB, 100, 16)),
    plain("plain-1k-c1000-p1", echo(KIB, 1000, 1)),
    plain("plain-1k-c1000-p16", echo(KIB, 1000, 16)),
    Cell {
        text: true,
        ..plain("plain-text-1k-c100-p16", echo(KIB, 100, 16))
    },
    plain("plain-16k-c1-p16", echo(16 * KIB, 1, 16)),
    plain("plain-16k-c100-p1", echo(16 * KIB, 100, 1)),
    plain("plain-16k-c100-p16", echo(16 * KIB, 100, 16)),
    plain("plain-256k-c100-p1", echo(256 * KIB, 100, 1)),
    plain("broadcast-64-c1000-p1", broadcast(64, 1000, 1)),
    plain("broadcast-64-c1000-p16", broadcast(64, 1000, 16)),
    plain("connect-plain", CONNECT),
    tls("tls-1k-c100-p1", echo(KIB, 100, 1)),
    tls("tls-1k-c100-p16", echo(KIB, 100, 16)),
    tls("tls-16k-c100-p1", echo(16 * KIB, 100, 1)),
    tls("connect-tls", CONNECT),
    plain("latency-20-c100", latency(20, 100, 20_000)),
    plain("latency-1k-c1000", latency(KIB, 1000, 20_000)),
    plain("latency-16k-c100", latency(16 * KIB, 100, 5_000)),
    plain("growth-20-c100", grown(20, 100, 1, 0)),
    plain("growth-20-c1000", grown(20, 100, 1, 900)),
    plain("growth-20-c5000", grown(20, 100, 1, 4900)),
    plain("growth-20-c20000", grown(20, 100, 1, 19_900)),
    plain("growth-broadcast-c100", broadcast(64, 100, 1)),
    plain("growth-broadcast-c1000", broadcast(64, 1000, 1)),
    plain("growth-broadcast-c5000", broadcast(64, 5000, 1)),
    plain("idle-plain", idle(10_000)),
    tls("idle-tls", idle(5_000)),
    json("json-off-p1", Deflate::Off, JSON_P1),
    json("json-pooled-p1", Deflate::Pooled, JSON_P1),
    json("json-takeover-p1", Deflate::Takeover, JSON_P1),
    json("json-off-p16", Deflate::Off, JSON_P16),
    json("json-pooled-p16", Deflate::Pooled, JSON_P16),
    json("json-takeover-p16", Deflate::Takeover, JSON_P16),
    json("json-off-broadcast", Deflate::Off, JSON_BROADCAST),
    json("json-pooled-broadcast", Deflate::Pooled, JSON_BROADCAST),
    json("json-takeover-broadcast", Deflate::Takeover, JSON_BROADCAST),
    json("json-off-idle", Deflate::Off, JSON_TALKED),
    json("json-pooled-idle", Deflate::Pooled, JSON_TALKED),
    json("json-takeover-idle", Deflate::Takeover, JSON_TALKED),
];

/// Memory hardly varies, and thousands of connections take seconds to open.
const FEW_ROUNDS: usize = 3;
/// More connections than that are many.
const MANY: usize = 2000;
/// Enough to see that it works.
const QUICK_MOST: usize = 1000;

impl Cell {
    /// In words.
    pub(crate) fn about(&self) -> String {
        let front = match self.json.map(Deflate::name) {
            Some(name) => format!("deflate {name}, "),
            None if self.tls => "TLS, ".to_owned(),
            None if self.text => "non-ASCII text, ".to_owned(),
            None => String::new(),
        };
        let bytes = |size: usize| match size {
            size if size >= 1024 => format!("{} KiB", size / 1024),
            size => format!("{size} B"),
        };
        match self.load {
            Load::Echo {
                size,
                connections,
                pipeline,
                idle: 0,
            } => {
                let size = bytes(size);
                let plural = if connections == 1 { "" } else { "s" };
                format!("{front}{size}, {connections} connection{plural}, {pipeline} in flight")
            }
            Load::Echo {
                size,
                connections,
                pipeline,
                idle,
            } => {
                let all = connections + idle;
                let size = bytes(size);
                format!("{front}{size}, {connections} active of {all}, {pipeline} in flight")
            }
            Load::Latency {
                size,
                connections,
                rate,
            } => {
                let size = bytes(size);
                format!("{front}{size}, {connections} connections, {rate} a second")
            }
            Load::Broadcast {
                size,
                connections,
                pipeline: 1,
            } => format!("{front}{} to {connections}, per delivery", bytes(size)),
            Load::Broadcast {
                size,
                connections,
                pipeline,
            } => {
                let size = bytes(size);
                format!("{front}{size} to {connections}, {pipeline} in flight, per delivery")
            }
            Load::Connect { at_once } => {
                let tls = if self.tls { " TLS," } else { "" };
                format!("connect,{tls} handshake, close; {at_once} at a time")
            }
            Load::Idle {
                connections,
                talk: 0,
            } => format!("{front}{connections} idle connections"),
            Load::Idle { connections, talk } => {
                format!("{front}{connections} connections, {talk} echoes of 1 KiB each")
            }
        }
    }

    pub(crate) fn group(&self) -> Group {
        match self.load {
            Load::Idle { .. } => Group::Idle,
            Load::Latency { .. } => Group::Latency,
            _ if self.name.starts_with("growth-") => Group::Growth,
            _ if self.json.is_some() => Group::Packed,
            _ => Group::Cost,
        }
    }

    /// Bytes of a message, where there are messages.
    pub(crate) fn size(&self) -> Option<usize> {
        match self.load {
            Load::Echo { size, .. } | Load::Broadcast { size, .. } => Some(size),
            Load::Latency { .. } | Load::Connect { .. } | Load::Idle { .. } => None,
        }
    }

    /// How the server is to compress; `None` if it need not know how.
    pub(crate) fn deflate(&self) -> Option<Deflate> {
        self.json.filter(|mode| *mode != Deflate::Off)
    }

    /// Where on the server it happens.
    pub(crate) fn path(&self) -> &'static str {
        match self.load {
            Load::Broadcast { .. } => "/broadcast",
            _ => "/",
        }
    }

    /// How many connections the server has at the same time.
    pub(crate) fn connections(&self) -> usize {
        match self.load {
            Load::Echo {
                connections, idle, ..
            } => connections + idle,
            Load::Broadcast { connections, .. }
            | Load::Latency { connections, .. }
            | Load::Idle { connections, .. } => connections,
            Load::Connect { at_once } => at_once,
        }
    }

    /// Makes it one of at most so many connections at the same time.
    pub(crate) fn shrink(&mut self, most: usize) {
        match &mut self.load {
            Load::Echo {
                connections, idle, ..
            } => {
                *connections = most.min(*connections);
                *idle = (most - *connections).min(*idle);
            }
            Load::Broadcast { connections, .. }
            | Load::Latency { connections, .. }
            | Load::Idle { connections, .. } => *connections = most.min(*connections),
            Load::Connect { at_once } => *at_once = most.min(*at_once),
        }
    }

    /// Whether the server must not have served before, nor serves afterwards: its memory is
    /// measured, or it has more connections than it ought to keep room for.
    pub(crate) fn wants_fresh_server(&self) -> bool {
        matches!(self.load, Load::Idle { .. }) || self.connections() > MANY
    }

    /// How often it is measured when others are `rounds` times.
    pub(crate) fn rounds(&self, rounds: usize) -> usize {
        match self.group() {
            Group::Idle | Group::Growth | Group::Latency => rounds.min(FEW_ROUNDS),
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
                idle,
            } => {
                option("--size", &size);
                option("--connections", &connections);
                option("--pipeline", &pipeline);
                option("--idle", &idle);
                "echo"
            }
            Load::Latency {
                size,
                connections,
                rate,
            } => {
                option("--size", &size);
                option("--connections", &connections);
                option("--rate", &rate);
                "latency"
            }
            Load::Connect { at_once } => {
                option("--at-once", &at_once);
                "connect"
            }
            Load::Idle { connections, talk } => {
                option("--connections", &connections);
                option("--talk", &talk);
                "idle"
            }
            Load::Broadcast {
                size,
                connections,
                pipeline,
            } => {
                option("--size", &size);
                option("--connections", &connections);
                option("--pipeline", &pipeline);
                "echo"
            }
        };
        if let Some(deflate) = self.json {
            option("--deflate", &deflate.name());
            if self.size().is_some() {
                option("--kind", &"json");
            }
        }
        if self.text {
            option("--kind", &"utf8");
        }
        if !matches!(self.load, Load::Idle { .. }) {
            // The slowest of a thousand is one of many only if there are many thousands.
            let seconds = match self.load {
                Load::Latency { .. } => 3.0 * seconds,
                _ => seconds,
            };
            option("--seconds", &seconds);
            option("--warmup", &(seconds / 3.0));
        }
        if matches!(self.load, Load::Broadcast { .. }) {
            words.push("--broadcast".to_owned());
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
    if quick {
        cells.iter_mut().for_each(|cell| cell.shrink(QUICK_MOST));
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
        let idle = vec!["idle-plain", "idle-tls"];
        assert_eq!(names(&["idle-"]).ok(), Some(idle));
        assert_eq!(
            names(&[]).map(|all: Vec<_>| all.len()).ok(),
            Some(CELLS.len())
        );
        assert!(names(&["idle", "nonsense"]).is_err());
    }

    #[test]
    fn a_cell_can_be_made_smaller() {
        let mut cell = plain("", grown(20, 100, 1, 900));
        for (most, size) in [(5000, (100, 900)), (400, (100, 300)), (50, (50, 0))] {
            cell.shrink(most);
            assert_eq!(cell.load, grown(20, size.0, 1, size.1));
            assert!(cell.connections() <= most);
        }
    }

    #[test]
    fn no_two_cells_share_a_name() {
        let mut names: Vec<_> = CELLS.iter().map(|cell| cell.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CELLS.len());
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
        assert_eq!(
            about("plain-text-1k-c100-p16"),
            "non-ASCII text, 1 KiB, 100 connections, 16 in flight"
        );
        assert_eq!(
            about("growth-20-c20000"),
            "20 B, 100 active of 20000, 1 in flight"
        );
        assert_eq!(
            about("broadcast-64-c1000-p16"),
            "64 B to 1000, 16 in flight, per delivery"
        );
        assert_eq!(about("idle-tls"), "TLS, 5000 idle connections");
        assert_eq!(
            about("json-pooled-broadcast"),
            "deflate pooled, 1 KiB to 1000, per delivery"
        );
        assert_eq!(
            about("json-off-idle"),
            "deflate off, 500 connections, 8 echoes of 1 KiB each"
        );
        assert_eq!(
            about("connect-tls"),
            "connect, TLS, handshake, close; 64 at a time"
        );
    }
}
