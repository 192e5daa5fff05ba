//! One test for each row of `docs/from-libwebsockets.md`: what a program did with the C API of
//! 2011, done with this engine. Server and client share one loop, as they could there.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod client;
mod document;
mod filter;
#[path = "../fork/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod fork;
mod message;
mod service;
#[path = "../visitor/mod.rs"]
mod visitor;
mod write;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use sockeye::{Engine, Protocol, ProtocolKey};

use self::visitor::{Visitor, until};

/// An engine with a protocol at `/`, and what is needed to connect to it.
struct House<P> {
    engine: Engine,
    protocol: ProtocolKey<P>,
    visitor: ProtocolKey<Visitor>,
    address: SocketAddr,
    url: String,
}

impl<P: Protocol> House<P> {
    fn new(protocol: P) -> Self {
        let mut engine = Engine::new().unwrap();
        let protocol = engine.host(protocol);
        let visitor = engine.host(Visitor);
        let listener = engine.listen("127.0.0.1:0").unwrap().route("/", protocol);
        let address = listener.local_addr().tcp().unwrap();
        Self {
            engine,
            protocol,
            visitor,
            address,
            url: format!("ws://{address}/"),
        }
    }

    fn protocol(&mut self) -> &mut P {
        self.engine.protocol(self.protocol).unwrap()
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut P) -> bool) {
        let protocol = self.protocol;
        until(&mut self.engine, what, |engine| {
            done(engine.protocol(protocol).unwrap())
        });
    }
}

/// Sends bytes over a socket of its own and returns all that comes until the server closes it.
fn exchange(engine: &mut Engine, address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut answer = Vec::new();
    until(engine, "the end of an answer", |_| {
        match stream.read_to_end(&mut answer) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // Closed with something unread, as a refusal may be.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{error}"),
        }
    });
    String::from_utf8(answer).unwrap()
}

/// A GET whose answer ends the connection.
fn get(engine: &mut Engine, address: SocketAddr, path: &str) -> String {
    let head = "Host: localhost\r\nConnection: close\r\n\r\n";
    exchange(engine, address, &format!("GET {path} HTTP/1.1\r\n{head}"))
}
