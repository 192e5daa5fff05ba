//! Connections as a client: how they open, and every way they fail.

use std::rc::Rc;

use sockeye::proto::handshake::Accept;
use sockeye::proto::{Cx, Shared};
use sockeye::sim::{Network, Remote};
use sockeye::{
    CloseCause, CloseCode, ConnectOptions, Engine, HeaderMap, Limits, Lost, OriginPolicy, Request,
};

use crate::support::{Bench, Happening, Script, echo, seconds};

/// An outgoing connection whose request has arrived at a server in the test's hands.
fn asking(hook: Script) -> (Bench, Remote) {
    let mut bench = Bench::with(Limits::default(), hook);
    let server = bench.network.server("there:80");
    let session = bench.engine.protocol(bench.key).unwrap().session();
    bench
        .engine
        .connect(bench.key, "ws://there:80/path?query", session)
        .unwrap();
    bench.run();
    let remote = server.accept().unwrap();
    (bench, remote)
}

fn errors(bench: &mut Bench) -> Vec<String> {
    let protocol = bench.engine.protocol(bench.key).unwrap();
    Rc::clone(&protocol.connect_errors).borrow().clone()
}

/// The answer of a server that agrees.
pub(crate) fn answer_to(request: &str) -> String {
    let limits = Limits::default();
    let (request, _) = Request::parse(request.as_bytes(), &limits)
        .unwrap()
        .unwrap();
    let mut shared = Shared::from_seed([0; 32]);
    let mut output = Vec::new();
    let mut cx = Cx {
        now: std::time::Instant::now(),
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    Accept::new(&request, &OriginPolicy::Any)
        .unwrap()
        .respond(None, &HeaderMap::new(), &mut cx)
        .unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn a_connection_opens_talks_and_closes() {
    let (mut bench, remote) = asking(Script::new(|conn, happening| match happening {
        Happening::Text(text) if text == "leave" => {
            conn.close(CloseCode::NORMAL, "left");
        }
        _ => echo(conn, happening),
    }));
    let request = String::from_utf8(remote.read()).unwrap();
    assert!(
        request.starts_with("GET /path?query HTTP/1.1\r\nHost: there\r\n"),
        "{request}"
    );
    let whole = [answer_to(&request).as_bytes(), b"\x81\x05hello"].concat();
    let (front, back) = whole.split_at(100);
    remote.write(front);
    bench.run();
    assert_eq!(bench.happenings(), []);
    remote.write(back);
    bench.run();
    assert_eq!(
        bench.happenings(),
        [Happening::Open, Happening::Text("hello".into())]
    );
    let echoed = remote.read();
    assert_eq!(echoed[..2], [0x81, 0x85], "masked");
    remote.write(b"\x81\x05leave");
    bench.run();
    let close = remote.read();
    assert_eq!(close[0], 0x88);
    remote.write(b"\x88\x02\x03\xe8");
    bench.run();
    assert!(
        matches!(&bench.happenings()[..], [Happening::Text(_), Happening::Close(info)] if info.clean)
    );
    assert_eq!(bench.connections(), 1, "a server closes TCP first");
    assert!(!remote.is_ended());
    remote.close();
    bench.run();
    bench.assert_empty();
}

#[test]
fn a_server_that_never_closes_tcp_is_left() {
    let (mut bench, remote) = asking(Script::new(|conn, happening| {
        if *happening == Happening::Open {
            conn.close(CloseCode::NORMAL, "");
        }
    }));
    let request = String::from_utf8(remote.read()).unwrap();
    remote.write(answer_to(&request).as_bytes());
    remote.write(b"\x88\x02\x03\xe8");
    bench.run();
    assert_eq!(bench.connections(), 1);
    bench.advance(seconds(5));
    bench.assert_empty();
}

#[test]
fn every_failure_gives_the_session_back() {
    type Failure = (&'static str, fn(&Remote), &'static str);
    let failures: [Failure; 6] = [
        (
            "refused",
            |r| r.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            "403",
        ),
        ("garbage", |r| r.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), ""),
        (
            "wrong accept",
            |r| {
                r.write(
                    b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                );
            },
            "",
        ),
        ("end", Remote::close, ""),
        ("reset", Remote::reset, "reset"),
        (
            "half an answer",
            |r| {
                r.write(b"HTTP/1.1 101 Swi");
                r.close();
            },
            "",
        ),
    ];
    for (name, fail, part) in failures {
        let (mut bench, remote) = asking(Script::new(|_, _| panic!("never open")));
        fail(&remote);
        bench.run();
        let errors = errors(&mut bench);
        assert_eq!(errors.len(), 1, "{name}");
        assert!(
            errors[0].starts_with("WebSocket handshake with there:80: "),
            "{}",
            errors[0]
        );
        assert!(errors[0].contains(part), "{}", errors[0]);
        bench.assert_empty();
    }
}

#[test]
fn nobody_there() {
    let mut bench = Bench::new(echo);
    let session = bench.engine.protocol(bench.key).unwrap().session();
    bench
        .engine
        .connect(bench.key, "ws://nowhere:81/", session)
        .unwrap();
    assert_eq!(errors(&mut bench), [""; 0], "not from within the call");
    bench.run();
    assert_eq!(
        errors(&mut bench),
        ["connect nowhere:81: connection refused"]
    );
    bench.assert_empty();
}

#[test]
fn aborting_while_connecting() {
    let (mut bench, _remote) = asking(Script::new(|_, _| panic!("never open")));
    let session = bench.engine.protocol(bench.key).unwrap().session();
    let id = bench
        .engine
        .connect(bench.key, "ws://there:80/", session)
        .unwrap();
    bench.engine.core().abort(id);
    bench.run();
    assert_eq!(bench.alive.get(), 1);
    assert_eq!(errors(&mut bench).len(), 1);
    assert!(errors(&mut bench)[0].ends_with("given up by this side"));
}

#[test]
fn a_lost_server_is_reported() {
    let (mut bench, remote) = asking(Script::new(echo));
    let request = String::from_utf8(remote.read()).unwrap();
    remote.write(answer_to(&request).as_bytes());
    bench.run();
    remote.close();
    bench.run();
    assert_eq!(bench.closes()[0].cause, CloseCause::Lost(Lost::EndOfStream));
    bench.assert_empty();
}

#[test]
fn options_that_make_no_sense_are_refused_at_once() {
    for url in ["", "ftp://x/", "ws://", "ws://x/#f", "x"] {
        assert!(ConnectOptions::new(url).is_err(), "{url}");
    }
    let network = Network::new(1);
    let mut engine: Engine = network.engine().build().unwrap();
    let key = engine.host(Script::new(echo));
    let session = engine.protocol(key).unwrap().session();
    assert!(engine.connect(key, "nonsense", session).is_err());
    assert_eq!(engine.core().connection_count(), 0);
}

#[test]
fn a_timeout_of_ones_own() {
    let mut bench = Bench::new(echo);
    let _server = bench.network.server("there:80");
    let session = bench.engine.protocol(bench.key).unwrap().session();
    let options = ConnectOptions::new("ws://there:80/")
        .unwrap()
        .timeout(seconds(2));
    bench.engine.connect(bench.key, options, session).unwrap();
    bench.advance(seconds(2));
    assert!(errors(&mut bench)[0].ends_with("timed out"));
    bench.assert_empty();
}
