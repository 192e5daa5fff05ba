//! The loads under which peers are compared.

use crate::failure::Failure;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) tls: bool,
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
    /// Messages of so many bytes, so many in flight on each connection.
    Echo {
        size: usize,
        connections: usize,
        pipeline: usize,
    },
    /// So many connections that do nothing, after so many echoes of 1 KiB.
    Idle { connections: usize, talk: usize },
    /// A message of so many bytes to so many connections, when all have the one before.
    Broadcast { size: usize, connections: usize },
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
    other(name, tls, load)
}

const fn other(name: &'static str, tls: bool, load: Load) -> Cell {
    Cell {
        name,
        tls,
        json: None,
        load,
    }
}

const fn json(name: &'static str, deflate: Deflate, load: Load) -> Cell {
    Cell {
        name,
        tls: false,
        json: Some(deflate),
        load,
    }
}

const JSON_P1: Load = Load::Echo {
    size: 1024,
    connections: 100,
    pipeline: 1,
};
const JSON_P16: Load = Load::Echo {
    size: 1024,
    connections: 100,
    pipeline: 16,
};
const JSON_TALKED: Load = Load::Idle {
    connections: 500,
    talk: 8,
};
const JSON_BROADCAST: Load = Load::Broadcast {
    size: 1024,
    connections: 1000,
};

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
            talk: 0,
        },
    ),
    other(
        "idle-tls",
        true,
        Load::Idle {
            connections: 5_000,
            talk: 0,
        },
    ),
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

/// Memory hardly varies: more rounds would only take longer.
const IDLE_ROUNDS: usize = 3;
/// Enough to see that it works.
const QUICK_IDLE: usize = 1000;

impl Cell {
    /// In words.
    pub(crate) fn about(&self) -> String {
        let tls = if self.tls { "TLS, " } else { "" };
        let deflate = self.json.map(Deflate::name);
        let front = match deflate {
            Some(name) => format!("deflate {name}, "),
            None => tls.to_owned(),
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
            } => {
                let size = bytes(size);
                let plural = if connections == 1 { "" } else { "s" };
                format!("{front}{size}, {connections} connection{plural}, {pipeline} in flight")
            }
            Load::Broadcast { size, connections } => {
                format!("{front}{} to {connections}, per delivery", bytes(size))
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

    /// Bytes of a message, where there are messages.
    pub(crate) fn size(&self) -> Option<usize> {
        match self.load {
            Load::Echo { size, .. } | Load::Broadcast { size, .. } => Some(size),
            Load::Connect { .. } | Load::Idle { .. } => None,
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
            Load::Idle { connections, talk } => {
                option("--connections", &connections);
                option("--talk", &talk);
                "idle"
            }
            Load::Broadcast { size, connections } => {
                option("--size", &size);
                option("--connections", &connections);
                "echo"
            }
        };
        if let Some(deflate) = self.json {
            option("--deflate", &deflate.name());
            if self.size().is_some() {
                option("--kind", &"json");
            }
        }
        if !matches!(self.load, Load::Idle { .. }) {
            option("--seconds", &seconds);
            option("--warmup", &(seconds / 2.0));
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
    for cell in &mut cells {
        if let Load::Idle { connections, .. } = &mut cell.load
            && quick
        {
            *connections = QUICK_IDLE.min(*connections);
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
        let idle = vec!["idle-plain", "idle-tls"];
        assert_eq!(names(&["idle-"]).ok(), Some(idle));
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
