//! That io_uring is used where it is asked for. The other tests run on it too: those that try
//! every driver, and all of them with `RUSTFLAGS='--cfg sockeye_driver="uring"'`.
#![cfg(feature = "uring")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use sockeye::{Accepted, Conn, Engine, Peer, PollerKind, Protocol, Reject, Request};

#[test]
fn it_is_there_and_told() {
    PollerKind::Uring.check().unwrap();
    for kind in [PollerKind::Uring, PollerKind::Auto] {
        let engine = Engine::builder().poller(kind).build().unwrap();
        assert_eq!(engine.poller_kind(), Some(PollerKind::Uring));
    }
    let engine = Engine::builder().poller(PollerKind::Poll).build().unwrap();
    assert_eq!(engine.poller_kind(), Some(PollerKind::Poll));
}

#[test]
fn the_default_is_what_the_tests_are_built_for() {
    let expected = match cfg!(sockeye_driver = "uring") {
        true => PollerKind::Uring,
        false => PollerKind::Epoll,
    };
    assert_eq!(PollerKind::default(), expected);
    assert_eq!(Engine::new().unwrap().poller_kind(), Some(expected));
}

struct Greeter(Rc<Cell<bool>>);

impl Protocol for Greeter {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.send("hello");
        self.0.set(true);
    }
}

/// A program that turns the engine itself may do something else for a while.
#[test]
fn what_a_turn_sends_waits_for_no_other() {
    for kind in [PollerKind::Epoll, PollerKind::Poll, PollerKind::Uring] {
        let mut engine = Engine::builder().poller(kind).build().unwrap();
        let greeted = Rc::new(Cell::new(false));
        let greeter = engine.host(Greeter(Rc::clone(&greeted)));
        let listener = engine.listen("127.0.0.1:0").unwrap().route("/", greeter);
        let addr = listener.local_addr().tcp().unwrap();
        let peer = std::thread::spawn(move || {
            let mut peer = TcpStream::connect(addr).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            peer.write_all(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"\x81\x05hello") {
                let mut byte = [0];
                peer.read_exact(&mut byte).unwrap();
                received.extend_from_slice(&byte);
            }
        });
        while !greeted.get() {
            engine.turn(Some(Duration::from_secs(30))).unwrap();
        }
        peer.join().unwrap();
    }
}
