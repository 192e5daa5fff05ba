//! A peer that never reads: its messages wait up to a bound, then it is cut, and nobody else
//! notices. Real sockets, real memory.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[allow(dead_code, reason = "each test needs a part of it")]
mod wire;

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sockeye::{
    Accepted, Bytes, Conn, Engine, Limits, Overflow, Peer as Who, Prepared, Protocol, Reject,
    Request,
};
use wire::{Driver, Peer, Server};

const MIB: usize = 1 << 20;

/// Messages come back, or go to all.
struct Mirror {
    overflow: Overflow,
}

impl Protocol for Mirror {
    type Session = bool;

    fn accept(&mut self, request: &Request<'_>, _: &Who) -> Result<Accepted<bool>, Reject> {
        Ok(Accepted::new(request.path() == "/all").overflow(self.overflow))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, all: &mut bool) {
        if *all {
            conn.subscribe("all");
        }
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, all: &mut bool, data: Bytes<'_>) {
        if *all {
            let message = Prepared::binary(&data);
            conn.core().publish("all", &message);
        } else {
            conn.send(&data);
        }
    }
}

fn limits() -> Limits {
    Limits {
        message_len: MIB,
        frame_len: MIB as u64,
        backlog_len: 4 * MIB,
        write_stall_timeout: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn start(driver: Driver, overflow: Overflow) -> Server {
    Server::start(driver, limits(), move |engine: &mut Engine| -> SocketAddr {
        let key = engine.host(Mirror { overflow });
        let listener = engine.listen("127.0.0.1:0").unwrap().route("*", key);
        listener.local_addr().tcp().unwrap()
    })
}

/// How long a short message takes to come back.
fn round_trip(peer: &mut Peer) -> Duration {
    let begin = Instant::now();
    peer.send(2, b"quick");
    assert_eq!(peer.receive(), (2, b"quick".to_vec()));
    begin.elapsed()
}

#[test]
fn under_echo_it_is_not_read_from_any_more() {
    for driver in [Driver::Epoll, Driver::Portable] {
        let server = start(driver, Overflow::Close);
        let mut quick = Peer::open(server.addr, "/");
        let mute = Peer::open(server.addr, "/");
        let before = wire::memory_kib("VmRSS:");
        let mut stream = mute.stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            let frame = wire::frame(2, &vec![1; 64 * 1024]);
            let mut written = 0;
            // Until the engine stops reading, and then until it has enough of it.
            while stream.write_all(&frame).is_ok() {
                written += frame.len();
            }
            written
        });
        let mut worst = Duration::ZERO;
        let mut peak = 0;
        while server.ask(|core| core.connection_count()) == 2 {
            worst = worst.max(round_trip(&mut quick));
            peak = peak.max(wire::memory_kib("VmRSS:"));
        }
        let written = writing.join().unwrap();
        let grown = peak.saturating_sub(before);
        println!(
            "{driver:?}, echo: {written} bytes from the mute one, {grown} KiB more resident, \
             slowest round trip of another {worst:?}"
        );
        assert!(grown < 8 * 1024, "{driver:?}: {grown} KiB");
        assert!(worst < Duration::from_secs(1), "{driver:?}: {worst:?}");
        drop((quick, mute));
        server.wait_for(0);
        server.stop();
    }
}

#[test]
fn under_broadcast_it_misses_messages_or_is_cut() {
    for driver in [Driver::Epoll, Driver::Portable] {
        for overflow in [Overflow::Close, Overflow::DropNewest, Overflow::DropOldest] {
            let server = start(driver, overflow);
            let mut quick = Peer::open(server.addr, "/all");
            let mut talker = Peer::open(server.addr, "/all");
            let mute = Peer::open(server.addr, "/all");
            server.wait_for(3);
            let before = wire::memory_kib("VmRSS:");
            let payload = vec![2; 64 * 1024];
            let mut worst = Duration::ZERO;
            let mut peak = 0;
            let mut sent = 0;
            while server.ask(|core| core.connection_count()) == 3 || sent < 300 {
                let begin = Instant::now();
                talker.send(2, &payload);
                assert_eq!(talker.receive().1.len(), payload.len());
                assert_eq!(quick.receive().1.len(), payload.len());
                worst = worst.max(begin.elapsed());
                peak = peak.max(wire::memory_kib("VmRSS:"));
                sent += 1;
            }
            let grown = peak.saturating_sub(before);
            println!(
                "{driver:?}, broadcast, {overflow:?}: {sent} messages of 64 KiB, {grown} KiB more \
                 resident, slowest delivery to others {worst:?}"
            );
            assert!(grown < 16 * 1024, "{driver:?}: {grown} KiB");
            assert!(worst < Duration::from_secs(1), "{driver:?}: {worst:?}");
            drop((quick, talker, mute));
            server.wait_for(0);
            server.stop();
        }
    }
}
