//! Who is compared. A peer is one file in `peers/` and one line here.

use std::path::PathBuf;
use std::process::Command;

use crate::cell::Cell;
use crate::failure::Failure;
use crate::measure::Rig;

/// A server that echoes.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    program: Program,
    /// What it is to wait by, if it has a choice.
    driver: Option<&'static str>,
    pub(crate) tls: bool,
    /// It compresses.
    pub(crate) deflate: bool,
    /// Checks what it receives, as a server must. What does not is shown as a limit, not as a
    /// competitor.
    pub(crate) honest: bool,
}

#[derive(Clone, Copy, Debug)]
enum Program {
    /// A binary of this crate.
    Cargo(&'static str),
    /// A binary that `cargo xtask bench` compiled from C.
    C(&'static str),
    /// A script for Node.
    Node(&'static str),
}

const fn peer(name: &'static str, program: Program, about: &'static str) -> Peer {
    Peer {
        name,
        about,
        program,
        driver: None,
        tls: true,
        deflate: true,
        honest: true,
    }
}

/// Everything is compared with this one.
pub(crate) const OURS: &str = "sockeye";
/// The limit that ours is held against.
pub(crate) const RAW: &str = "raw";

const PEERS: &[Peer] = &[
    peer(
        OURS,
        Program::Cargo("peer-sockeye"),
        "our engine, all defaults",
    ),
    Peer {
        driver: Some("uring"),
        ..peer(
            "sockeye-uring",
            Program::Cargo("peer-sockeye"),
            "our engine on io_uring",
        )
    },
    Peer {
        tls: false,
        deflate: false,
        honest: false,
        ..peer(
            RAW,
            Program::Cargo("peer-raw"),
            "a bare epoll loop that checks nothing",
        )
    },
    Peer {
        tls: false,
        deflate: false,
        honest: false,
        ..peer(
            "raw-uring",
            Program::Cargo("peer-raw-uring"),
            "a bare io_uring loop that checks nothing",
        )
    },
    peer(
        "uwebsockets",
        Program::C("peer-uwebsockets"),
        "uWebSockets, over OpenSSL",
    ),
    peer(
        "libwebsockets",
        Program::C("peer-libwebsockets"),
        "Debian's, over OpenSSL",
    ),
    Peer {
        deflate: false,
        ..peer(
            "tungstenite",
            Program::Cargo("peer-tungstenite"),
            "tokio-tungstenite, over rustls",
        )
    },
    Peer {
        deflate: false,
        ..peer(
            "tokio-websockets",
            Program::Cargo("peer-tokio-websockets"),
            "tokio-websockets, over rustls",
        )
    },
    Peer {
        deflate: false,
        ..peer(
            "fastwebsockets",
            Program::Cargo("peer-fastwebsockets"),
            "fastwebsockets, over hyper and rustls",
        )
    },
    Peer {
        deflate: false,
        ..peer(
            "yawc",
            Program::Cargo("peer-yawc"),
            "yawc, over hyper and rustls",
        )
    },
    Peer {
        deflate: false,
        ..peer(
            "sockudo-ws",
            Program::Cargo("peer-sockudo"),
            "sockudo-ws, over rustls",
        )
    },
    peer("ws", Program::Node("ws.js"), "npm ws on Node"),
];

impl Peer {
    /// Whether it does what the cell is about.
    pub(crate) fn does(&self, cell: &Cell) -> bool {
        (self.tls || !cell.tls)
            // Who does not compress is not compared with those who could.
            && (self.deflate || cell.json.is_none())
    }

    /// Whether it is ours, with whatever driver.
    pub(crate) fn is_ours(&self) -> bool {
        self.name == OURS || self.driver.is_some()
    }

    /// The command that starts it, without what its command line adds.
    pub(crate) fn command(&self, rig: &Rig) -> Command {
        let run = |program: PathBuf| Command::new(program);
        let mut command = match self.program {
            Program::Cargo(name) => run(rig.programs.join(name)),
            Program::C(name) => run(rig.compiled.join(name)),
            Program::Node(script) => {
                let mut command = Command::new("node");
                command
                    .arg(rig.peers.join(script))
                    .env("NODE_PATH", &rig.node_modules);
                command
            }
        };
        if let Some(driver) = self.driver {
            command.args(["--driver", driver]);
        }
        command
    }
}

/// The named peers, all of them if none is named; ours is always among them and comes first.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Peer>, Failure> {
    for name in names {
        if !PEERS.iter().any(|peer| peer.name == name) {
            return Err(Failure::new(format!(
                "no peer is called {name}; --list names them"
            )));
        }
    }
    let wanted = |peer: &&Peer| {
        names.is_empty() || peer.name == OURS || names.iter().any(|name| name == peer.name)
    };
    Ok(PEERS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_always_takes_part() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            chosen(&names).map(|peers| peers.iter().map(|peer| peer.name).collect())
        };
        assert_eq!(names(&["ws"]).ok(), Some(vec![OURS, "ws"]));
        assert_eq!(
            names(&[]).map(|all: Vec<_>| all.len()).ok(),
            Some(PEERS.len())
        );
        assert!(names(&["nobody"]).is_err());
    }
}
