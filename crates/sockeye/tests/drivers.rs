//! One suite, three loops: `epoll(7)`, `poll(2)` and a loop that is not the engine's, over real
//! sockets.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[allow(dead_code, reason = "each test needs a part of it")]
mod wire;

use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use sockeye::{
    Accepted, Bytes, CloseCode, CloseInfo, Conn, ConnectOptions, Engine, Exchange, Limits,
    Peer as Who, Protocol, Reject, Request, Response, Text,
};
use wire::{DRIVERS, Driver, Peer, Server};

/// Echoes, and does what a few words ask for.
struct Suite {
    closed: mpsc::Sender<CloseInfo>,
}

impl Protocol for Suite {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Who) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        match &*text {
            "pause" => {
                conn.pause();
                conn.set_timeout(Some(Duration::from_millis(30)));
            }
            "stay paused" => conn.pause(),
            "close" => drop(conn.close(CloseCode::NORMAL, "asked for")),
            "abort" => conn.abort(),
            "much" => drop(conn.send(&vec![7u8; 8 << 20])),
            text => drop(conn.send(text)),
        }
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.send(&data);
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.send("resumed");
        conn.resume();
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        let _ = self.closed.send(info.clone());
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, _: &[u8]) {
        http.respond(Response::text(request.path().to_owned()));
    }
}

fn listen(engine: &mut Engine, closed: mpsc::Sender<CloseInfo>) -> SocketAddr {
    let key = engine.host(Suite { closed });
    let listener = engine.listen("127.0.0.1:0").unwrap().route("*", key);
    listener.local_addr().tcp().unwrap()
}

fn start(driver: Driver) -> (Server, mpsc::Receiver<CloseInfo>) {
    let (closed, closes) = mpsc::channel();
    let server = Server::start(driver, Limits::default(), |engine| listen(engine, closed));
    (server, closes)
}

fn close_of(closes: &mpsc::Receiver<CloseInfo>) -> CloseInfo {
    closes.recv_timeout(wire::PATIENCE).unwrap()
}

#[test]
fn messages_of_every_size_come_back() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peer = Peer::open(server.addr, "/");
        for len in [0, 1, 125, 126, 65_535, 65_536, 300_000, 1 << 20] {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut writer = peer.stream.try_clone().unwrap();
            let frame = wire::frame(2, &payload);
            let writing =
                std::thread::spawn(move || std::io::Write::write_all(&mut writer, &frame));
            assert_eq!(peer.receive(), (2, payload), "{driver:?}");
            writing.join().unwrap().unwrap();
        }
        drop(peer);
        server.wait_for(0);
        let report = server.stop();
        assert_eq!(report.cut, 0, "{driver:?}");
    }
}

#[test]
fn many_at_once() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peers: Vec<_> = (0..100).map(|_| Peer::open(server.addr, "/")).collect();
        for round in 0..3 {
            for (index, peer) in peers.iter_mut().enumerate() {
                peer.send(1, format!("{round} {index}").as_bytes());
            }
            for (index, peer) in peers.iter_mut().enumerate() {
                assert_eq!(
                    peer.receive_text(),
                    format!("{round} {index}"),
                    "{driver:?}"
                );
            }
        }
        server.wait_for(100);
        drop(peers);
        server.wait_for(0);
        server.stop();
    }
}

#[test]
fn every_end_is_seen() {
    for &driver in DRIVERS {
        let (server, closes) = start(driver);
        let mut peer = Peer::open(server.addr, "/");
        peer.send(8, &[3, 232]);
        assert_eq!(peer.receive().0, 8);
        assert!(peer.is_ended());
        assert!(close_of(&closes).clean, "{driver:?}");

        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, b"close");
        assert_eq!(peer.receive().0, 8);
        peer.send(8, &[3, 232]);
        assert!(peer.is_ended());
        assert!(close_of(&closes).clean, "{driver:?}");

        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, b"abort");
        assert!(peer.is_ended());
        assert!(!close_of(&closes).clean, "{driver:?}");

        let peer = Peer::open(server.addr, "/");
        peer.stream.shutdown(Shutdown::Write).unwrap();
        assert!(!close_of(&closes).clean, "{driver:?}");

        let mut peer = Peer::open(server.addr, "/");
        peer.write(b"\x81\x02hi");
        assert_eq!(peer.receive().0, 8);
        peer.stream.shutdown(Shutdown::Write).unwrap();
        assert!(peer.is_ended());
        assert!(!close_of(&closes).clean, "{driver:?}");
        server.wait_for(0);
        server.stop();
    }
}

#[test]
fn a_late_reader_gets_everything() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, b"much");
        peer.send(1, b"and then this");
        server.wait_for(1);
        let (opcode, payload) = peer.receive();
        assert_eq!((opcode, payload.len()), (2, 8 << 20), "{driver:?}");
        assert_eq!(peer.receive_text(), "and then this", "{driver:?}");
        drop(peer);
        server.stop();
    }
}

#[test]
fn pausing_and_timeouts() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, b"pause");
        peer.send(1, b"later");
        assert_eq!(peer.receive_text(), "resumed", "{driver:?}");
        assert_eq!(peer.receive_text(), "later", "{driver:?}");
        drop(peer);
        server.stop();
    }
}

#[test]
fn requests_and_sockets_on_one_port() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peer = Peer::connect(server.addr);
        for path in ["/one", "/two", "/three"] {
            peer.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        }
        for path in ["/one", "/two", "/three"] {
            assert!(peer.read_head().starts_with("HTTP/1.1 200 "), "{driver:?}");
            assert_eq!(peer.read_exact(path.len()), path.as_bytes());
        }
        peer.write(wire::handshake("/").as_bytes());
        peer.send(1, b"glued");
        assert!(peer.read_head().starts_with("HTTP/1.1 101 "));
        assert_eq!(peer.receive_text(), "glued", "{driver:?}");
        drop(peer);
        server.stop();
    }
}

#[test]
fn an_engine_talks_to_itself() {
    for &driver in DRIVERS {
        let (closed, closes) = mpsc::channel();
        let (sent, opened) = mpsc::channel();
        let server = Server::start(driver, Limits::default(), move |engine| {
            let addr = listen(engine, closed);
            let client = engine.host(Client { sent });
            for path in ["a", "b", "c"] {
                let options = ConnectOptions::new(&format!("ws://{addr}/{path}")).unwrap();
                engine.connect(client, options, ()).unwrap();
            }
            // Nobody listens on port 1.
            engine.connect(client, "ws://127.0.0.1:1/", ()).unwrap();
            addr
        });
        let mut results: Vec<_> = (0..4)
            .map(|_| opened.recv_timeout(wire::PATIENCE).unwrap())
            .collect();
        results.sort();
        assert_eq!(results[..3], ["ping"; 3], "{driver:?}");
        assert!(
            results[3].starts_with("refused: connect 127.0.0.1:1: "),
            "{results:?}"
        );
        assert_eq!(
            (close_of(&closes).clean, close_of(&closes).clean),
            (true, true)
        );
        server.wait_for(0);
        server.stop();
    }
}

struct Client {
    sent: mpsc::Sender<String>,
}

impl Protocol for Client {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Who) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(404))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.send("ping");
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        let _ = self.sent.send(text.into_string());
        conn.close(CloseCode::NORMAL, "");
    }

    fn on_connect_error(&mut self, _: &mut sockeye::Core, (): (), error: &sockeye::ConnectError) {
        let _ = self.sent.send(format!("refused: {error}"));
    }
}

#[test]
fn other_threads_reach_the_loop() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, b"here");
        peer.receive_text();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let handle = server.handle.clone();
                std::thread::spawn(move || {
                    for _ in 0..100 {
                        // The first connection of an engine; its id is the same for all loops.
                        handle.with_core(|_| ()).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(server.ask(|core| core.connection_count()), 1, "{driver:?}");
        drop(peer);
        server.stop();
    }
}

/// What is idle, paused, half-closed or gone costs no turns.
#[test]
fn an_idle_engine_is_asleep() {
    for &driver in DRIVERS {
        let (server, _closes) = start(driver);
        let _idle: Vec<_> = (0..20).map(|_| Peer::open(server.addr, "/")).collect();
        let mut paused = Peer::open(server.addr, "/");
        paused.send(1, b"stay paused");
        paused.send(1, b"unread");
        let mut gone = Peer::open(server.addr, "/");
        gone.send(1, b"stay paused");
        gone.send(1, b"unread");
        drop(gone);
        // A violation half-closes, and then the peer is waited for.
        let mut violator = Peer::open(server.addr, "/");
        violator.write(b"\x81\x02hi");
        assert_eq!(violator.receive().0, 8);
        let mut stalled = Peer::open(server.addr, "/");
        stalled.send(1, b"much");
        server.wait_for(24);
        let before = server.turns();
        // There is no other way to see that nothing happens than to let time pass.
        let (_keep, never) = mpsc::channel::<()>();
        assert!(never.recv_timeout(Duration::from_millis(300)).is_err());
        let turns = server.turns() - before;
        assert!(turns <= 5, "{driver:?}: {turns} turns");
        server.handle.shutdown(Duration::ZERO).unwrap();
        server.stop();
    }
}
