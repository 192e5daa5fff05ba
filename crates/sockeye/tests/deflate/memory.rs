//! What compressed connections cost while they rest, and while somebody sends a bomb.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sockeye::deflate::Settings;
use sockeye::{Engine, Message, on_message};

use crate::counting::{live, take_peak};

const COUNT: usize = 500;

/// A client in bytes: its frames are not masked to any effect.
struct Peer {
    tcp: TcpStream,
}

impl Peer {
    fn open(engine: &mut Engine, addr: SocketAddr, extensions: &str) -> Self {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: {extensions}\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).unwrap();
        let mut peer = Self { tcp };
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.extend(peer.read(engine, 1));
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.contains("permessage-deflate"), "{answer}");
        peer
    }

    fn read(&mut self, engine: &mut Engine, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.tcp.read(&mut buffer[filled..]) {
                Ok(0) => panic!("the stream ended"),
                Ok(len) => filled += len,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => turn(engine),
                Err(error) => panic!("{error}"),
            }
        }
        buffer
    }

    fn send(&mut self, engine: &mut Engine, first: u8, payload: &[u8]) {
        let len = (payload.len() as u64).to_be_bytes();
        let header = match payload.len() {
            0..126 => vec![first, 0x80 | len[7], 0, 0, 0, 0],
            126..0x1_0000 => vec![first, 0xfe, len[6], len[7], 0, 0, 0, 0],
            _ => [&[first, 0xff], &len[..], &[0; 4]].concat(),
        };
        let bytes = [&header[..], payload].concat();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.tcp.write(rest) {
                Ok(len) => rest = &rest[len..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => turn(engine),
                // Refused in the middle.
                Err(_) => return,
            }
        }
    }

    /// The next frame: its first byte and its payload.
    fn frame(&mut self, engine: &mut Engine) -> (u8, Vec<u8>) {
        let header = self.read(engine, 2);
        let len = match header[1] {
            126 => {
                let len = self.read(engine, 2);
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            127 => panic!("a long frame"),
            len => usize::from(len),
        };
        (header[0], self.read(engine, len))
    }
}

fn turn(engine: &mut Engine) {
    engine.turn(Some(Duration::from_millis(10))).unwrap();
}

/// An engine that echoes.
fn house(settings: Settings) -> (Engine, SocketAddr) {
    let mut engine = Engine::builder().deflate(settings).build().unwrap();
    let echo = engine.host(on_message(|conn, message| {
        assert!(conn.deflate().is_some());
        conn.send(message);
    }));
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
    let addr = listener.local_addr().tcp().unwrap();
    (engine, addr)
}

/// "Hello" as RFC 7692 §7.2.3.2 has it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// 4,000 zeros or so, compressed.
fn zeros() -> Vec<u8> {
    // A block of fixed codes: a zero, 15 runs of 258 zeros (length 285, distance 1).
    let mut bits = vec![0, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..15 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1]);
        bits.extend([0; 5]);
    }
    bits.extend([0; 7]);
    bits.extend([0, 0, 0]);
    bits.chunks(8)
        .map(|bits| {
            (0..8)
                .map(|at| bits.get(at).copied().unwrap_or(0) << at)
                .sum()
        })
        .collect()
}

#[test]
fn a_connection_at_rest_holds_only_its_windows() {
    sockeye::net::raise_descriptor_limit().unwrap();
    for (settings, offer, open_bound, used_bound) in [
        (Settings::default(), "permessage-deflate", 300.0, 300.0),
        (
            Settings::takeover(),
            "permessage-deflate; client_max_window_bits",
            800.0,
            800.0 + 2.0 * 4096.0,
        ),
    ] {
        let (mut engine, addr) = house(settings);
        let mut peers = vec![Peer::open(&mut engine, addr, offer)];
        let exchange = |engine: &mut Engine, peer: &mut Peer| {
            for payload in [HELLO.to_vec(), zeros(), zeros()] {
                peer.send(engine, 0xc2, &payload);
                let (first, _) = peer.frame(engine);
                assert_eq!(first & 0x0f, 2);
            }
        };
        exchange(&mut engine, &mut peers[0]);
        let before = live();
        for _ in 0..COUNT {
            peers.push(Peer::open(&mut engine, addr, offer));
        }
        let each = |now: isize| (now - before) as f64 / COUNT as f64;
        let open = each(live());
        for peer in &mut peers {
            exchange(&mut engine, peer);
        }
        let used = each(live());
        println!("{settings}: {open:.0} bytes for each connection, {used:.0} behind traffic");
        assert!(open <= open_bound, "{open}");
        assert!(used <= used_bound, "{used}");
        drop(peers);
        while engine.core().connection_count() > 0 {
            turn(&mut engine);
        }
        let gone = each(live());
        assert!(gone <= open_bound, "{gone}");
    }
}

#[test]
fn a_bomb_is_bounded_by_the_limit() {
    for settings in [Settings::default(), Settings::takeover()] {
        let (mut engine, addr) = house(settings);
        let offer = "permessage-deflate; client_max_window_bits";
        let mut peer = Peer::open(&mut engine, addr, offer);
        // Runs of 258 zeros at 13 bits each, without end: 256 KiB are 40 MiB.
        let mut bomb = zeros();
        // After 13 bytes the runs lie on the same bits again.
        bomb.truncate(23);
        let run: Vec<u8> = bomb[10..23].to_vec();
        while bomb.len() < 256 * 1024 {
            bomb.extend(&run);
        }
        take_peak();
        let before = live();
        peer.send(&mut engine, 0xc2, &bomb);
        let (first, payload) = peer.frame(&mut engine);
        assert_eq!(first, 0x88);
        assert_eq!(payload[..2], 1009u16.to_be_bytes());
        let peak = take_peak() - before;
        println!("a bomb took {} KiB", peak / 1024);
        assert!(peak < 34 * 1024 * 1024, "{peak}");
    }
}

#[test]
fn a_message_that_is_sent_as_it_is() {
    let mut engine = Engine::new().unwrap();
    let echo = engine.host(on_message(|conn, message| match message {
        Message::Text(_) => drop(conn.send(&[b'x'; 5000][..])),
        Message::Binary(_) => drop(conn.send_uncompressed(&[b'x'; 5000][..])),
    }));
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
    let addr = listener.local_addr().tcp().unwrap();
    let mut peer = Peer::open(&mut engine, addr, "permessage-deflate");
    peer.send(&mut engine, 0x81, b"");
    let (first, payload) = peer.frame(&mut engine);
    assert!(first == 0xc2 && payload.len() < 100, "{first:x}");
    peer.send(&mut engine, 0x82, b"");
    let (first, payload) = peer.frame(&mut engine);
    assert!(first == 0x82 && payload.len() == 5000);
}
