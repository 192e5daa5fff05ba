//! TLS over a simulated network: short reads and writes, and no socket at all.

#![cfg(feature = "tls")]

use std::io::{Read, Write};
use std::sync::{Arc, mpsc};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use sockeye::OriginPolicy;
use sockeye::sim::{Faults, Network, Remote};
use sockeye::tls::ServerTls;
use sockeye::{Accepted, Bytes, Conn, Engine, Limits, Protocol, Reject, Request, on_message};

use crate::backends;
use crate::certificate::Ca;
use crate::rig::server_options;

struct Peer {
    remote: Remote,
    tls: ClientConnection,
    received: Vec<u8>,
}

impl Peer {
    fn new(remote: Remote, ca: &Ca) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        Self {
            remote,
            tls,
            received: Vec::new(),
        }
    }

    /// Passes on what there is, both ways, till nothing moves.
    fn settle(&mut self, network: &Network, engine: &mut Engine) {
        loop {
            let mut out = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut out).unwrap();
            }
            self.remote.write(&out);
            network.run_until_idle(engine);
            let arrived = self.remote.read();
            let mut input = &arrived[..];
            while !input.is_empty() {
                self.tls.read_tls(&mut input).unwrap();
                let state = self.tls.process_new_packets().unwrap();
                let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
                self.tls.reader().read_exact(&mut plaintext).unwrap();
                self.received.extend(plaintext);
            }
            if out.is_empty() && arrived.is_empty() {
                return;
            }
        }
    }
}

/// A frame of a client, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The payloads of a server's frames.
fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let [_, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (
                u16::from_be_bytes(rest[..2].try_into().unwrap()).into(),
                &rest[2..],
            ),
            127 => (
                u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize,
                &rest[8..],
            ),
            len => (usize::from(*len), rest),
        };
        let (payload, rest) = rest.split_at(len);
        payloads.push(payload.to_vec());
        bytes = rest;
    }
    payloads
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// The payloads behind the answer to the upgrade.
fn echoed(received: &[u8]) -> Vec<Vec<u8>> {
    let mark = b"\r\n\r\n";
    let end = received
        .windows(mark.len())
        .position(|window| window == mark)
        .unwrap();
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    payloads(&received[end + mark.len()..])
}

#[test]
#[cfg(feature = "drafts")]
fn an_old_client_is_told_that_it_came_by_tls() {
    const HIXIE: &[u8] = b"GET /demo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: https://localhost\r\n\r\n^n:ds[4U";

    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
        let network = Network::new(1);
        let mut engine = network.engine().build().unwrap();
        let echo = engine.host(on_message(|conn, message| {
            conn.send(message);
        }));
        let listener = network.listener();
        engine
            .listen_on(listener.acceptor())
            .unwrap()
            .drafts(true)
            .route("*", echo)
            .tls(tls);
        let mut peer = Peer::new(network.connect(&listener), &ca);
        peer.settle(&network, &mut engine);
        peer.tls.writer().write_all(HIXIE).unwrap();
        peer.tls.writer().write_all(b"\x00hello\xff").unwrap();
        peer.settle(&network, &mut engine);
        let answer = peer.received.escape_ascii().to_string();
        let location = "\\r\\nSec-WebSocket-Location: wss://localhost/demo\\r\\n";
        assert!(answer.contains(location), "{answer}");
        assert!(
            answer.ends_with("8jKS\\'y:G*Co,Wxa-\\x00hello\\xff"),
            "{answer}"
        );
    }
}

#[test]
fn short_reads_and_writes_change_nothing() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
        for (read_per_turn, faults) in [
            (256 * 1024, Faults::none()),
            (1024, Faults::none()),
            (256 * 1024, Faults::none().read_len(1).write_len(1)),
            (256 * 1024, Faults::none().read_len(7).window(100)),
            (4096, Faults::none().read_len(20_000).write_len(1000)),
        ] {
            let network = Network::new(1);
            let limits = Limits {
                read_per_turn,
                ..Limits::default()
            };
            let mut engine = network.engine().limits(limits).build().unwrap();
            let echo = engine.host(on_message(|conn, message| {
                conn.send(message);
            }));
            let listener = network.listener();
            engine
                .listen_on(listener.acceptor())
                .unwrap()
                .route("/", echo)
                .origin(OriginPolicy::Any)
                .tls(tls.clone());
            let remote = network.connect(&listener);
            remote.set_faults(faults);
            let mut peer = Peer::new(remote, &ca);
            peer.settle(&network, &mut engine);
            assert!(!peer.tls.is_handshaking());
            let mut sent = UPGRADE.to_vec();
            let messages = [vec![1; 10], vec![2; 30_000], Vec::new(), vec![3; 70_000]];
            for message in &messages {
                sent.extend(frame(2, message));
            }
            for piece in sent.chunks(50_000) {
                peer.tls.writer().write_all(piece).unwrap();
                peer.settle(&network, &mut engine);
            }
            assert!(echoed(&peer.received) == messages, "{backend:?} {faults:?}");
        }
    }
}

#[test]
fn nothing_is_forgotten_while_paused() {
    struct Pausing {
        received: mpsc::Sender<Vec<u8>>,
    }
    impl Protocol for Pausing {
        type Session = ();

        fn accept(&mut self, _: &Request<'_>, _: &sockeye::Peer) -> Result<Accepted<()>, Reject> {
            Ok(Accepted::new(()))
        }

        fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
            self.received.send(data.to_vec()).unwrap();
            conn.pause();
        }
    }

    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        for read_per_turn in [1024, 256 * 1024] {
            let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
            let network = Network::new(1);
            let limits = Limits {
                read_per_turn,
                ..Limits::default()
            };
            let mut engine = network.engine().limits(limits).build().unwrap();
            let (received_by, received) = mpsc::channel();
            let key = engine.host(Pausing {
                received: received_by,
            });
            let listener = network.listener();
            engine
                .listen_on(listener.acceptor())
                .unwrap()
                .route("/", key)
                .origin(OriginPolicy::Any)
                .tls(tls);
            let mut peer = Peer::new(network.connect(&listener), &ca);
            peer.settle(&network, &mut engine);
            peer.tls.writer().write_all(UPGRADE).unwrap();
            let messages: Vec<Vec<u8>> = (1..=20).map(|number| vec![number; 2000]).collect();
            let sent: Vec<u8> = messages.iter().flat_map(|m| frame(2, m)).collect();
            // In few records, so that one has several messages in it.
            peer.tls.writer().write_all(&sent).unwrap();
            peer.settle(&network, &mut engine);
            let id = engine.connections(key)[0];
            for message in &messages {
                assert!(received.try_recv().unwrap() == *message);
                assert!(received.try_recv().is_err(), "it was paused");
                engine.core().resume(id);
                network.run_until_idle(&mut engine);
            }
            // The end comes behind all of it.
            peer.tls.send_close_notify();
            peer.settle(&network, &mut engine);
            assert!(engine.connections(key).is_empty());
        }
    }
}

#[test]
fn plain_text_gets_nowhere() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
        let network = Network::new(1);
        let mut engine = network.engine().build().unwrap();
        let echo = engine.host(on_message(|conn, message| {
            conn.send(message);
        }));
        let listener = network.listener();
        engine
            .listen_on(listener.acceptor())
            .unwrap()
            .route("/", echo)
            .tls(tls);
        let remote = network.connect(&listener);
        remote.write(UPGRADE);
        network.run_until_idle(&mut engine);
        assert!(remote.is_released());
        assert!(!remote.read().starts_with(b"HTTP"));
        assert!(engine.connections(echo).is_empty());
    }
}
