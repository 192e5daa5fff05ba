//! Many handshakes at once do not keep open connections waiting.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use sockeye::tls::ServerTls;
use sockeye::{Engine, Limits};

use crate::backends;
use crate::certificate::Ca;
use crate::rig::{Client, client_tls, listen, server_options};

const NEWCOMERS: usize = 500;

#[test]
fn open_connections_are_served_while_others_shake_hands() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    let hello = hello();
    for backend in backends() {
        let mut server = Engine::new().unwrap();
        let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
        let (seen_by, _seen) = mpsc::channel();
        let addr = listen(&mut server, Some(tls), seen_by);
        let url = format!("wss://localhost:{}/", addr.port());
        let mut client = Client::new();
        let id = client.connect(&url, &client_tls(backend, &ca));
        let moment = Some(Duration::from_millis(1));
        while client.log.borrow().opened == 0 {
            server.turn(moment).unwrap();
            client.engine.turn(moment).unwrap();
        }

        let newcomers: Vec<TcpStream> = (0..NEWCOMERS)
            .map(|_| {
                let mut tcp = TcpStream::connect(addr).unwrap();
                tcp.write_all(&hello).unwrap();
                tcp.set_nonblocking(true).unwrap();
                tcp
            })
            .collect();
        let answered = || {
            let mut byte = [0];
            let answered = newcomers.iter().filter(|tcp| match tcp.peek(&mut byte) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    false
                }
            });
            answered.count()
        };
        while server.core().connection_count() < NEWCOMERS + 1 {
            server.turn(moment).unwrap();
        }
        // A message amid the rush is back after a few turns, with most of the crowd still waiting.
        client.send(id, "hello");
        client.engine.turn(moment).unwrap();
        let before = answered();
        let limit = Limits::default().tls_handshakes_per_turn;
        let mut turns = 0;
        while client.log.borrow().messages.is_empty() {
            server.turn(moment).unwrap();
            client.engine.turn(moment).unwrap();
            turns += 1;
            assert!(answered() <= before + turns * limit);
        }
        assert!(turns <= 3, "{turns}");
        // In the end, nobody was forgotten.
        while answered() < NEWCOMERS {
            server.turn(moment).unwrap();
        }
    }
}

/// The first message of a client, which each of a crowd may send.
fn hello() -> Vec<u8> {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let ca = Ca::new("nobody");
    let mut client = Client::new();
    client.connect(&url, &client_tls(backends()[0], &ca));
    listener.set_nonblocking(true).unwrap();
    let mut tcp = loop {
        client.engine.turn(Some(Duration::from_millis(1))).unwrap();
        match listener.accept() {
            Ok((tcp, _)) => break tcp,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    };
    tcp.set_nonblocking(true).unwrap();
    let mut hello = Vec::new();
    loop {
        client.engine.turn(Some(Duration::from_millis(1))).unwrap();
        match tcp.read_to_end(&mut hello) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
        let complete = match hello.get(3..5) {
            Some(len) => 5 + usize::from(u16::from_be_bytes([len[0], len[1]])),
            None => continue,
        };
        if hello.len() >= complete {
            return hello;
        }
    }
}
