//! What every server with an `/echo` must be able to do, whoever waits for its sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use sockeye::{CloseCode, Engine, ProtocolKey};

use crate::visitor::{Got, Visit, Visitor, until};

/// Where the form of a frame's length changes, and beyond what one read or one write takes.
const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000, 5_000_000];

pub(crate) fn hold(address: SocketAddr) {
    let mut engine = Engine::new().unwrap();
    let visitor = engine.host(Visitor);
    let url = format!("ws://{address}/echo");
    lengths(&mut engine, visitor, &url);
    crowd(&mut engine, visitor, &url);
    lazy_reader(&mut engine, visitor, &url);
    endings(&mut engine, visitor, &url);
    plain_http(address);
}

fn lengths(engine: &mut Engine, visitor: ProtocolKey<Visitor>, url: &str) {
    let visit = Visit::open(engine, visitor, url);
    for len in LENGTHS {
        let text = "ä".repeat(len / 2) + &"x".repeat(len % 2);
        engine.core().send(visit.id, &text);
        assert!(visit.got(engine) == Got::Text(text), "{len} bytes of text");
        let data: Vec<u8> = (0..len).map(|n| (n * n / 7) as u8).collect();
        engine.core().send(visit.id, &data);
        assert!(visit.got(engine) == Got::Binary(data), "{len} bytes");
    }
    engine.core().ping(visit.id, b"there?");
    assert_eq!(visit.got(engine), Got::Pong(b"there?".to_vec()));
    engine.core().close(visit.id, CloseCode::NORMAL, "");
    visit.closed(engine);
}

fn crowd(engine: &mut Engine, visitor: ProtocolKey<Visitor>, url: &str) {
    let visits: Vec<Visit> = (0..50)
        .map(|_| Visit::begin(engine, visitor, url.try_into().unwrap()))
        .collect();
    for (number, visit) in visits.iter().enumerate() {
        until(engine, "everybody to be let in", |_| visit.is_open());
        for round in 0..20 {
            engine.core().send(visit.id, &format!("{number}, {round}"));
        }
    }
    for (number, visit) in visits.iter().enumerate() {
        for round in 0..20 {
            visit.expect(engine, &format!("{number}, {round}"));
        }
        engine.core().close(visit.id, CloseCode::NORMAL, "");
    }
    for visit in &visits {
        assert!(visit.closed(engine).clean);
    }
}

/// One who sends and does not read delays nobody, and gets everything once it does read.
fn lazy_reader(engine: &mut Engine, visitor: ProtocolKey<Visitor>, url: &str) {
    let lazy = Visit::open(engine, visitor, url);
    engine.core().pause(lazy.id);
    // More than the socket buffers of both sides and the server's high water mark hold.
    let sent: Vec<Vec<u8>> = (0..24).map(|n| vec![n; 1024 * 1024]).collect();
    for data in &sent {
        engine.core().send(lazy.id, data);
    }
    let quick = Visit::open(engine, visitor, url);
    for round in 0..50 {
        let text = format!("round {round}");
        engine.core().send(quick.id, &text);
        quick.expect(engine, &text);
    }
    assert_eq!(lazy.take(), []);
    engine.core().resume(lazy.id);
    for data in sent {
        assert!(lazy.got(engine) == Got::Binary(data));
    }
}

fn endings(engine: &mut Engine, visitor: ProtocolKey<Visitor>, url: &str) {
    let code = CloseCode::try_from(4321).unwrap();
    let polite = Visit::open(engine, visitor, url);
    engine.core().close(polite.id, code, "enough");
    let info = polite.closed(engine);
    assert!(info.clean, "{info}");
    assert_eq!(info.code, code);

    let rude = Visit::open(engine, visitor, url);
    engine.core().abort(rude.id);
    assert!(!rude.closed(engine).clean);

    let after = Visit::open(engine, visitor, url);
    engine.core().send(after.id, "still there?");
    after.expect(engine, "still there?");
}

fn plain_http(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}
