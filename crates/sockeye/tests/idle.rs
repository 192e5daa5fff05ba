//! Ten thousand idle connections at once, over loopback, on both pollers.
//!
//! The other ends are in a process of their own, so that each process needs but one descriptor a
//! connection, and the memory that is measured is the engine's. Both raise their limits.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[allow(dead_code, reason = "each test needs a part of it")]
mod wire;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use sockeye::{Limits, on_message};
use wire::{Driver, Peer, Server};

const COUNT: usize = 10_000;
/// How the process of the other ends, which runs the same test, is told where to connect to.
const ADDRESS: &str = "SOCKEYE_TEST_ADDRESS";

#[test]
fn ten_thousand_idle_connections() {
    if let Ok(addr) = std::env::var(ADDRESS) {
        return be_the_other_ends(addr.parse().unwrap());
    }
    let allowed = sockeye::net::raise_descriptor_limit().unwrap();
    assert!(
        allowed as usize > COUNT + 100,
        "only {allowed} descriptors are allowed"
    );
    for driver in [Driver::Epoll, Driver::Portable] {
        let server = Server::start(driver, Limits::default(), |engine| {
            let echo = engine.host(on_message(|conn, message| {
                conn.send(message);
            }));
            let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
            listener.local_addr().tcp().unwrap()
        });
        let mut awake = Peer::open(server.addr, "/");
        let before = wire::memory_kib("VmRSS:");
        let mut others = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ten_thousand_idle_connections", "--nocapture"])
            .env(ADDRESS, server.addr.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(others.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("all are open")));
        server.wait_for(COUNT + 1);
        let grown = wire::memory_kib("VmRSS:").saturating_sub(before);
        let each = grown * 1024 / COUNT;
        println!("{driver:?}: {COUNT} idle connections in {grown} KiB, {each} bytes each");
        assert!(each < 512, "{driver:?}: {each} bytes a connection");

        let turns = server.turns();
        for _ in 0..10 {
            awake.send(1, b"awake");
            assert_eq!(awake.receive_text(), "awake");
        }
        let turns = server.turns() - turns;
        assert!(turns < 50, "{driver:?}: {turns} turns for ten messages");
        drop(others.stdin.take());
        assert!(others.wait().unwrap().success());
        drop(awake);
        server.wait_for(0);
        server.stop();
    }
}

/// What the process of the other ends does: it holds them until its input ends.
fn be_the_other_ends(addr: SocketAddr) {
    sockeye::net::raise_descriptor_limit().unwrap();
    let mut peers: Vec<TcpStream> = Vec::with_capacity(COUNT);
    while peers.len() < COUNT {
        // Many at a time, or each would cost a look at all others under `poll(2)`.
        let mut opening: Vec<_> = (0..500).map(|_| Peer::connect(addr)).collect();
        for peer in &mut opening {
            peer.write(wire::handshake("/").as_bytes());
        }
        for mut peer in opening {
            assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
            peers.push(peer.stream);
        }
    }
    println!("all are open");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
