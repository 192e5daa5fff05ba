//! Versions before RFC 6455: the engine's client and server in each, and what a listener that was
//! not told of them does.

use std::cell::RefCell;
use std::rc::Rc;

use sockeye::proto::handshake::{Answer, Connect, ConnectRequest};
use sockeye::proto::ws::{Config, Role, WebSocket};
use sockeye::proto::{Cx, Shared};
use sockeye::sim::Remote;
use sockeye::{
    Accepted, Bytes, Chunk, CloseCause, CloseCode, CloseInfo, Conn, ConnId, ConnectOptions,
    Delivery, Limits, Message, Misuse, OriginPolicy, Peer, Prepared, Protocol, Refusal, Reject,
    Request, Sent, Text, Version,
};

use crate::support::{Bench, Happening, Script, echo, seconds};

const OLD: [Version; 6] = [
    Version::Hixie76,
    Version::Hybi04,
    Version::Hybi05,
    Version::Hybi06,
    Version::Hybi07,
    Version::Hybi08,
];

/// An engine whose second listener takes old versions.
fn bench(script: Script) -> Bench {
    let mut bench = Bench::with(Limits::default(), script);
    bench.listener = bench.network.listener();
    bench
        .engine
        .listen_on(bench.listener.acceptor())
        .unwrap()
        .drafts(true)
        .route("*", bench.key);
    bench
}

/// The address of that listener.
const URL: &str = "ws://10.0.0.1:81/path?query";

/// Whether a connection is that of the client, which would answer the server's echo for ever.
fn is_client(conn: &Conn<'_>) -> bool {
    conn.peer()
        .is_some_and(|peer| peer.addr().to_string().ends_with(":81"))
}

fn connect(bench: &mut Bench, options: ConnectOptions) -> ConnId {
    let session = bench.engine.protocol(bench.key).unwrap().session();
    let id = bench.engine.connect(bench.key, options, session).unwrap();
    bench.run();
    id
}

fn options(version: Version) -> ConnectOptions {
    ConnectOptions::new(URL).unwrap().version(version)
}

/// The close that a version can tell.
fn told(version: Version, code: CloseCode, reason: &str) -> (CloseCode, String) {
    match version {
        Version::Hixie76 | Version::Hybi04 | Version::Hybi05 => {
            (CloseCode::NO_STATUS, String::new())
        }
        _ => (code, reason.to_owned()),
    }
}

#[test]
fn a_client_and_a_server_of_each_version_talk() {
    for version in Version::ALL {
        let mut bench = bench(Script::new(|conn, happening| {
            if happening == &Happening::Text("leave".into()) {
                conn.close(CloseCode::GOING_AWAY, "left");
            } else if !is_client(conn) {
                echo(conn, happening);
            }
        }));
        let client = connect(&mut bench, options(version));
        let opened = bench.happenings();
        assert_eq!(opened, [Happening::Open, Happening::Open], "{version}");
        let core = bench.engine.core();
        assert_eq!(core.version(client), Some(version));
        assert!(core.is_open(client));
        assert_eq!(core.send(client, "grüße"), Sent::Clear);
        bench.run();
        let text = Happening::Text("grüße".into());
        assert_eq!(bench.happenings(), [text.clone(), text], "{version}");

        let binary = bench.engine.core().send(client, &b"\x00\xff"[..]);
        let ping = bench.engine.core().ping(client, b"there?");
        bench.run();
        let happenings = bench.happenings();
        if version == Version::Hixie76 {
            let refused = Sent::Refused(Refusal::Misuse(Misuse::NotInVersion));
            assert_eq!([binary, ping], [refused; 2]);
            assert_eq!(happenings, []);
        } else {
            assert_eq!([binary, ping], [Sent::Clear; 2]);
            assert_eq!(happenings.len(), 3, "{version}: {happenings:?}");
            let pong = Happening::Pong(b"there?".to_vec());
            assert!(happenings.contains(&pong), "{version}: {happenings:?}");
            let core = bench.engine.core();
            for (piece, last) in [("a", false), ("b", false), ("c", true)] {
                let sent = core.send_fragment(client, Message::Text(piece), last);
                assert_eq!(sent, Sent::Clear);
            }
            bench.run();
            let text = Happening::Text("abc".into());
            assert_eq!(bench.happenings(), [text.clone(), text], "{version}");
        }

        // Larger than what is read at once.
        let long = "x".repeat(300_000);
        assert!(bench.engine.core().send(client, &long).is_sent());
        bench.run();
        let text = Happening::Text(long);
        assert!(bench.happenings() == [text.clone(), text], "{version}");

        bench.engine.core().send(client, "leave");
        bench.run();
        let closes = bench.closes();
        let ends: Vec<_> = closes
            .iter()
            .map(|info| (info.code, info.reason.clone()))
            .collect();
        let said = told(version, CloseCode::GOING_AWAY, "left");
        // The answer says the same.
        assert_eq!(ends, [said.clone(), said], "{version}");
        assert!(closes.iter().all(|info| info.clean));
        bench.log.borrow_mut().clear();
        bench.assert_empty();
    }
}

/// A client in the test's hands.
struct Visitor {
    remote: Remote,
    machine: WebSocket,
    shared: Shared,
    received: Vec<u8>,
}

impl Visitor {
    /// Opens a connection of this version; `None` if it was not answered by a 101.
    fn new(bench: &mut Bench, version: Version, origin: &str) -> Result<Self, Vec<u8>> {
        let remote = bench.remote();
        let mut shared = Shared::from_seed([9; 32]);
        let config = std::sync::Arc::new(Config::default());
        let now = bench.engine.core().now();
        let mut output = Vec::new();
        let mut cx = Cx {
            now,
            output: &mut output,
            shared: &mut shared,
            blocked: false,
        };
        let request = ConnectRequest {
            host: "sim".into(),
            target: "/".into(),
            origin: Some(origin.into()),
            version,
            ..ConnectRequest::default()
        };
        let mut connect = Connect::new(request, config.clone(), &mut cx).unwrap();
        remote.write(&output);
        bench.run();
        let mut bytes = remote.read();
        let copy = bytes.clone();
        let mut input = &mut bytes[..];
        let mut cx = Cx {
            now,
            output: &mut Vec::new(),
            shared: &mut shared,
            blocked: false,
        };
        match connect.receive(&mut input, &mut cx) {
            Ok(Some(Answer { wire, .. })) => Ok(Self {
                remote,
                machine: WebSocket::with_wire(Role::Client, config, wire, now),
                shared,
                received: input.to_vec(),
            }),
            _ => Err(copy),
        }
    }

    /// What the server sent, as it is on the wire.
    fn raw(&mut self) -> Vec<u8> {
        let mut raw = std::mem::take(&mut self.received);
        raw.extend(self.remote.read());
        raw
    }

    fn send(&mut self, bench: &mut Bench, text: &str) {
        let mut output = Vec::new();
        let mut cx = Cx {
            now: bench.engine.core().now(),
            output: &mut output,
            shared: &mut self.shared,
            blocked: false,
        };
        self.machine.send(Message::Text(text), &mut cx).unwrap();
        self.remote.write(&output);
        bench.run();
    }
}

/// The frame of a server.
fn frame(version: Version, text: bool, payload: &[u8]) -> Vec<u8> {
    let first = match (version, text) {
        (Version::Hixie76, _) => return [b"\x00", payload, b"\xff"].concat(),
        (Version::Hybi04 | Version::Hybi05 | Version::Hybi06, true) => 0x84,
        (Version::Hybi04 | Version::Hybi05 | Version::Hybi06, false) => 0x85,
        (_, true) => 0x81,
        (_, false) => 0x82,
    };
    let len = payload.len();
    match len {
        ..126 => [&[first, len as u8], payload].concat(),
        _ => [&[first, 126, (len >> 8) as u8, len as u8], payload].concat(),
    }
}

/// A protocol that does as little as it can, and tells of its connections.
#[derive(Default)]
struct Plain {
    open: Rc<RefCell<Vec<(ConnId, Version)>>>,
}

impl Protocol for Plain {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe("all");
        self.open.borrow_mut().push((conn.id(), conn.version()));
    }
}

#[test]
fn a_message_for_all_is_framed_for_each() {
    let mut bench = bench(Script::new(|_, _| ()));
    let plain = Plain::default();
    let open = Rc::clone(&plain.open);
    let key = bench.engine.host(plain);
    bench.listener = bench.network.listener();
    bench
        .engine
        .listen_on(bench.listener.acceptor())
        .unwrap()
        .drafts(true)
        .route("*", key);
    let mut visitors = Vec::new();
    for version in Version::ALL {
        visitors.push(Visitor::new(&mut bench, version, "http://sim").unwrap());
    }
    let versions: Vec<_> = open.borrow().iter().map(|&(_, version)| version).collect();
    assert_eq!(versions, Version::ALL);

    // Short ones are copied, long ones shared.
    for payload in ["Hello".to_owned(), "y".repeat(5000)] {
        let message = Prepared::text(&payload);
        for round in 0..3 {
            let core = bench.engine.core();
            match round {
                0 => core.broadcast(key, message.clone()),
                1 => assert_eq!(core.publish("all", &message), Version::ALL.len()),
                _ => {
                    for &(id, _) in &*open.borrow() {
                        assert_eq!(core.send_prepared(id, &message), Sent::Clear);
                    }
                }
            }
            bench.run();
            for (visitor, version) in visitors.iter_mut().zip(Version::ALL) {
                let expected = frame(version, true, payload.as_bytes());
                assert!(visitor.raw() == expected, "{version} {round}");
            }
        }
    }
    // hixie-76 has none of these, and lives on.
    let message = Prepared::binary(b"\x00\xff");
    let core = bench.engine.core();
    assert_eq!(core.publish("all", &message), Version::ALL.len() - 1);
    core.broadcast(key, message);
    bench.run();
    for (visitor, version) in visitors.iter_mut().zip(Version::ALL) {
        let expected = match version {
            Version::Hixie76 => Vec::new(),
            _ => frame(version, false, b"\x00\xff").repeat(2),
        };
        assert_eq!(visitor.raw(), expected, "{version}");
    }
    let core = bench.engine.core();
    assert!(open.borrow().iter().all(|&(id, _)| core.is_open(id)));
}

#[test]
fn a_listener_that_was_not_told_refuses_as_ever() {
    let mut bench = Bench::new(echo);
    for version in OLD {
        let Err(answer) = Visitor::new(&mut bench, version, "http://sim") else {
            panic!("{version} was taken");
        };
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "), "{version}: {answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
    assert!(Visitor::new(&mut bench, Version::Rfc6455, "http://sim").is_ok());
    // A listener can be told otherwise again.
    bench.listener = bench.network.listener();
    let listener = bench.engine.listen_on(bench.listener.acceptor()).unwrap();
    listener.drafts(true).drafts(false).route("*", bench.key);
    assert!(Visitor::new(&mut bench, Version::Hybi06, "http://sim").is_err());
}

#[test]
fn a_version_that_nobody_speaks_is_refused_with_a_list() {
    let mut bench = bench(Script::new(echo));
    for version in ["9", "12", "14", "3"] {
        let remote = bench.remote();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n\r\n"
        );
        remote.write(request.as_bytes());
        bench.run();
        let answer = String::from_utf8(remote.read()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        let list = "\r\nSec-WebSocket-Version: 13, 8, 7, 6, 5, 4\r\n";
        assert!(answer.contains(list), "{answer}");
    }
}

#[test]
fn a_client_is_told_why_its_version_is_refused() {
    let mut bench = Bench::new(echo);
    for version in OLD {
        let options = ConnectOptions::new("ws://10.0.0.1:80/")
            .unwrap()
            .version(version);
        connect(&mut bench, options);
        let protocol = bench.engine.protocol(bench.key).unwrap();
        let errors = std::mem::take(&mut *protocol.connect_errors.borrow_mut());
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("426"), "{errors:?}");
    }
}

#[test]
fn the_origin_policy_holds_for_every_version() {
    for policy in [
        OriginPolicy::Same,
        OriginPolicy::List(vec!["http://sim".into()]),
    ] {
        let mut bench = Bench::new(echo);
        bench.listener = bench.network.listener();
        bench
            .engine
            .listen_on(bench.listener.acceptor())
            .unwrap()
            .drafts(true)
            .origin(policy)
            .route("*", bench.key);
        for version in Version::ALL {
            assert!(Visitor::new(&mut bench, version, "http://sim").is_ok());
            let Err(answer) = Visitor::new(&mut bench, version, "http://evil") else {
                panic!("{version} was taken");
            };
            assert!(answer.starts_with(b"HTTP/1.1 403 "), "{version}");
        }
    }
}

#[test]
fn nothing_is_masked_when_a_client_says_so() {
    for version in Version::ALL {
        let mut bench = bench(Script::new(|conn, happening| {
            if !is_client(conn) {
                echo(conn, happening);
            }
        }));
        // The engine's own server hears it all the same: frames say how they are masked.
        let client = connect(&mut bench, options(version));
        let core = bench.engine.core();
        assert!(core.dangerously_unmask(client, true));
        assert!(core.send(client, "in clear").is_sent());
        assert!(core.dangerously_unmask(client, false));
        assert!(core.send(client, "masked").is_sent());
        bench.run();
        let texts: Vec<_> = bench
            .happenings()
            .into_iter()
            .filter_map(|happening| match happening {
                Happening::Text(text) => Some(text),
                _ => None,
            })
            .take(2)
            .collect();
        assert_eq!(texts, ["in clear", "masked"], "{version}");
    }
    let mut bench = bench(Script::new(echo));
    let visitor = Visitor::new(&mut bench, Version::Hybi06, "http://sim").unwrap();
    let server = bench.last_id();
    assert!(!bench.engine.core().dangerously_unmask(server, true));
    drop(visitor);
    bench.run();
    assert!(!bench.engine.core().dangerously_unmask(server, true));
    assert_eq!(bench.engine.core().version(server), None);
}

#[test]
fn what_is_in_clear_is_so_on_the_wire() {
    let mut bench = Bench::new(|_, _| ());
    let server = bench.network.server("there:80");
    let session = bench.engine.protocol(bench.key).unwrap().session();
    let options = ConnectOptions::new("ws://there:80/").unwrap();
    let client = bench.engine.connect(bench.key, options, session).unwrap();
    bench.run();
    let remote = server.accept().unwrap();
    let request = String::from_utf8(remote.read()).unwrap();
    remote.write(&answer_to(&request));
    bench.run();
    let core = bench.engine.core();
    core.dangerously_unmask(client, true);
    core.send(client, "Hello");
    core.ping(client, b"p");
    core.close(client, CloseCode::NORMAL, "");
    bench.run();
    assert_eq!(
        remote.read(),
        b"\x81\x85\0\0\0\0Hello\x89\x81\0\0\0\0p\x88\x82\0\0\0\0\x03\xe8"
    );
}

fn answer_to(request: &str) -> Vec<u8> {
    let limits = Limits::default();
    let (request, _) = Request::parse(request.as_bytes(), &limits)
        .unwrap()
        .unwrap();
    let mut output = Vec::new();
    let mut shared = Shared::from_seed([0; 32]);
    let mut cx = Cx {
        now: std::time::Instant::now(),
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    sockeye::proto::handshake::Accept::new(&request, &OriginPolicy::Any)
        .unwrap()
        .respond(None, &Default::default(), &mut cx)
        .unwrap();
    output
}

#[test]
fn keepalive_asks_who_can_answer() {
    for version in Version::ALL {
        let mut bench = bench(Script::new(|_, _| ()));
        let mut visitor = Visitor::new(&mut bench, version, "http://sim").unwrap();
        bench.advance(seconds(31));
        let ping: &[u8] = match version {
            Version::Hixie76 => b"",
            Version::Hybi04 | Version::Hybi05 | Version::Hybi06 => b"\x82\x00",
            _ => b"\x89\x00",
        };
        assert_eq!(visitor.raw(), ping, "{version}");
        bench.happenings();
        bench.advance(seconds(60));
        let silent = bench.closes().len();
        assert_eq!(
            silent,
            usize::from(version != Version::Hixie76),
            "{version}"
        );
        // Who cannot be asked is there as long as TCP is.
        if version == Version::Hixie76 {
            visitor.send(&mut bench, "still here");
            let text = Happening::Text("still here".into());
            assert_eq!(bench.happenings(), [text]);
        }
    }
}

/// Data, whether it was the last, and what was to come of its frame.
type Piece = (Vec<u8>, bool, u64);

/// A protocol that takes its messages in pieces.
#[derive(Default)]
struct Streamed {
    pieces: Rc<RefCell<Vec<Piece>>>,
}

impl Protocol for Streamed {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()).delivery(Delivery::Streaming))
    }

    fn on_chunk(&mut self, _: &mut Conn<'_>, (): &mut (), chunk: Chunk<'_>) {
        let piece = (chunk.data.to_vec(), chunk.last, chunk.frame_remaining);
        self.pieces.borrow_mut().push(piece);
    }

    fn on_text(&mut self, _: &mut Conn<'_>, (): &mut (), _: Text<'_>) {
        unreachable!("it is streamed");
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, (): &mut (), _: Bytes<'_>) {
        unreachable!("it is streamed");
    }
}

#[test]
fn messages_arrive_in_pieces_too() {
    for version in Version::ALL {
        let mut bench = bench(Script::new(|_, _| ()));
        let streamed = Streamed::default();
        let pieces = Rc::clone(&streamed.pieces);
        let key = bench.engine.host(streamed);
        bench.listener = bench.network.listener();
        bench
            .engine
            .listen_on(bench.listener.acceptor())
            .unwrap()
            .drafts(true)
            .route("*", key);
        let mut visitor = Visitor::new(&mut bench, version, "http://sim").unwrap();
        let long = "z".repeat(1_000_000);
        visitor.send(&mut bench, &long);
        let pieces = pieces.borrow();
        let joined: Vec<u8> = pieces.iter().flat_map(|(data, ..)| data.clone()).collect();
        assert!(joined == long.as_bytes(), "{version}");
        assert!(pieces.len() > 1, "{version}");
        let (_, last, remaining) = &pieces[pieces.len() - 1];
        assert_eq!((*last, *remaining), (true, 0));
        let (data, _, remaining) = &pieces[0];
        let rest = (long.len() - data.len()) as u64;
        let expected = if version == Version::Hixie76 { 0 } else { rest };
        assert_eq!(*remaining, expected, "{version}");
    }
}

#[test]
fn a_violation_ends_a_connection_of_any_version() {
    for version in OLD {
        let mut bench = bench(Script::new(|_, _| ()));
        let mut visitor = Visitor::new(&mut bench, version, "http://sim").unwrap();
        bench.happenings();
        let bytes: &[u8] = match version {
            Version::Hixie76 => b"\x00\x80",
            Version::Hybi04 | Version::Hybi05 | Version::Hybi06 => b"\0\0\0\0\xff\xff",
            _ => b"\xff\xff",
        };
        visitor.remote.write(bytes);
        bench.run();
        let closes = bench.closes();
        let [info] = &closes[..] else {
            panic!("{version}: {closes:?}");
        };
        assert!(matches!(info.cause, CloseCause::Violation(_)), "{version}");
        let close: &[u8] = match version {
            Version::Hixie76 => b"\xff\x00",
            Version::Hybi04 => b"\x81\x00",
            Version::Hybi05 => b"\x81\x01S",
            _ => b"\x03\xea",
        };
        let raw = visitor.raw();
        let found = raw.windows(close.len()).any(|part| part == close);
        assert!(found, "{version}: {raw:x?}");
        drop(visitor);
        bench.run();
        bench.log.borrow_mut().clear();
        bench.assert_empty();
    }
}

#[test]
fn a_shutdown_says_goodbye_in_every_version() {
    for version in Version::ALL {
        let mut bench = bench(Script::new(|_, _| ()));
        let mut visitor = Visitor::new(&mut bench, version, "http://sim").unwrap();
        let id = bench.last_id();
        bench.engine.core().close(id, CloseCode::GOING_AWAY, "");
        bench.run();
        let close: &[u8] = match version {
            Version::Hixie76 => b"\xff\x00",
            Version::Hybi04 => b"\x81\x00",
            Version::Hybi05 => b"\x81\x01S",
            Version::Hybi06 => b"\x81\x02\x03\xe9",
            _ => b"\x88\x02\x03\xe9",
        };
        assert_eq!(visitor.raw(), close, "{version}");
        // It is not answered.
        bench.advance(seconds(6));
        let closes: Vec<CloseInfo> = bench.closes();
        assert_eq!(closes.len(), 1, "{version}");
        assert!(!closes[0].clean);
        bench.log.borrow_mut().clear();
        bench.assert_empty();
    }
}
