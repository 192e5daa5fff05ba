//! Peers that mean ill, or know no better.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread;

use sockeye::blocking::{self, AcceptError, Acceptor, Error, Received};
use sockeye::{
    Accepted, ConnectCause, ConnectError, ConnectOptions, HandshakeError, Limits, OriginPolicy,
    Proxy, Reject, Response, Step, Violation,
};

use crate::rig::{SHORT, client_of_raw, pattern};

/// What a client makes of a server that sends this and ends the stream.
fn answered(answer: &[u8]) -> ConnectError {
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(answer).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let options = ConnectOptions::new("ws://localhost/")
        .unwrap()
        .subprotocol("a");
    blocking::handshake(near, options).unwrap_err()
}

#[test]
fn wrong_answers() {
    let error = answered(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
    assert!(
        matches!(
            error.cause(),
            ConnectCause::Handshake(HandshakeError::AcceptWrong)
        ),
        "{error}"
    );
    for answer in ["", "HTTP/1.1", "HTTP/1.1 101 Switching Protocols\r\nUpg"] {
        let error = answered(answer.as_bytes());
        assert!(
            matches!(
                error.cause(),
                ConnectCause::Handshake(HandshakeError::EndOfStream)
            ),
            "{answer:?}: {error}"
        );
    }
    let error = answered(b"SSH-2.0-OpenSSH_9.6\r\n\r\n");
    assert!(
        matches!(
            error.cause(),
            ConnectCause::Handshake(HandshakeError::Malformed(_))
        ),
        "{error}"
    );
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 64 * 1024]].concat();
    assert!(answered(&endless).to_string().contains("too long"));
}

#[test]
fn a_refusal_is_kept_up_to_its_limit() {
    let mut answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec();
    answer.resize(answer.len() + 100_000, b'x');
    let error = answered(&answer);
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.body.len(), Limits::default().refusal_body_len);
    assert!(refusal.truncated);
}

/// A server that ends at every byte of its answer.
#[test]
fn an_answer_that_is_cut_anywhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut len = 0;
    loop {
        let (whole, opened) = thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut answer = answer_to(&mut stream);
                answer.extend_from_slice(b"\x81\x02hi");
                let whole = len >= answer.len();
                stream.write_all(&answer[..len.min(answer.len())]).unwrap();
                whole
            });
            let opened = blocking::connect(url.as_str());
            (server.join().unwrap(), opened)
        });
        match opened {
            Err(error) => assert_eq!(error.step(), Step::Handshake, "{len}: {error}"),
            Ok(mut websocket) => {
                let received = websocket.recv();
                if whole {
                    assert_eq!(received.unwrap(), Received::Text("hi".to_owned()));
                    assert!(websocket.recv().is_err());
                    break;
                }
                assert!(received.is_err(), "{len}");
            }
        }
        len += 1;
    }
}

/// Reads a request, and gives the 101 to it.
fn answer_to(stream: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let limits = Limits::default();
    let (request, _) = sockeye::Request::parse(&request, &limits).unwrap().unwrap();
    let mut output = Vec::new();
    let mut shared = sockeye::proto::Shared::from_seed([0; 32]);
    let mut cx = sockeye::proto::Cx {
        now: std::time::Instant::now(),
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    sockeye::proto::handshake::Accept::new(&request, &OriginPolicy::Any)
        .unwrap()
        .respond(None, &sockeye::HeaderMap::new(), &mut cx)
        .unwrap();
    output
}

#[test]
fn violations_are_told_to_both() {
    for (bytes, violation) in [
        (&b"\x81\x82\0\0\0\0hi"[..], Violation::MaskedFrame),
        (b"\xc1\x00", Violation::ReservedBits),
        (b"\x81\x01\xff", Violation::InvalidText),
        (b"\x88\x02\x03\xed", Violation::IllegalCloseCode(1005)),
        (b"\x82\x7f\0\0\0\0\x7f\xff\xff\xff", Violation::FrameTooBig),
    ] {
        let (mut client, mut server) = client_of_raw(Limits::default());
        let seen = thread::scope(|scope| {
            let seen = scope.spawn(move || {
                server.write_all(b"\x81\x02ok").unwrap();
                server.write_all(bytes).unwrap();
                // More than the sockets hold: a client that closed at once would reset it.
                let flood = server.write_all(&pattern(1024 * 1024));
                server.shutdown(Shutdown::Write).unwrap();
                let mut seen = Vec::new();
                server.read_to_end(&mut seen).unwrap();
                (flood.is_ok(), seen)
            });
            assert_eq!(client.recv().unwrap(), Received::Text("ok".to_owned()));
            match client.recv().unwrap_err() {
                Error::Violation(found) => assert_eq!(found, violation),
                other => panic!("{other}"),
            }
            assert!(matches!(client.recv(), Err(Error::Violation(_))));
            assert!(client.send("more").is_err());
            seen.join().unwrap()
        });
        assert!(seen.0, "{violation}: reset");
        assert_eq!(seen.1[0], 0x88, "{violation}");
    }
}

/// What a client that sends this gets to read, and what the server makes of it.
fn asked(acceptor: &Acceptor, request: &str) -> (String, AcceptError) {
    let (mut near, far) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let decide = |request: &sockeye::Request<'_>, _: &sockeye::Peer| match request.path() {
                "/moved" => {
                    let moved = Response::status(sockeye::StatusCode::FOUND);
                    Err(Reject::from(moved.header("location", "/here").unwrap()))
                }
                "/file" => {
                    let mut file = tempfile::tempfile().unwrap();
                    file.write_all(&pattern(200_000)).unwrap();
                    let body = sockeye::FileBody::new(file).unwrap();
                    let answer = Response::status(sockeye::StatusCode::FORBIDDEN);
                    Err(Reject::from(answer.with_body(body)))
                }
                "/wrong" => Ok(Accepted::new(()).subprotocol("never offered")),
                "/panic" => panic!("reached"),
                _ => Ok(Accepted::new(())),
            };
            acceptor.accept_with(far, decide).map(drop).unwrap_err()
        });
        near.write_all(request.as_bytes()).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer, server.join().unwrap())
    })
}

fn upgrade(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

#[test]
fn clients_are_told_why_not() {
    let acceptor = Acceptor::new();
    let version = "Sec-WebSocket-Version: 13\r\n";
    let of_origin = format!("{version}Origin: http://b\r\n");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost".to_owned(), 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_owned(), 400),
        (upgrade("/", "Sec-WebSocket-Version: 8\r\n"), 426),
        (upgrade("/", &of_origin), 403),
        (upgrade("/moved", version), 302),
        (upgrade("/file", version), 403),
        (upgrade("/wrong", version), 500),
        (upgrade(&"/x".repeat(5000), version), 414),
    ] {
        let (answer, error) = asked(&acceptor, &request);
        let begin = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begin), "{request}: {answer} {error}");
        let head = answer.to_ascii_lowercase();
        assert!(
            head.contains("\r\nconnection: ") && head.contains("close\r\n"),
            "{answer}"
        );
        assert!(head.contains("\r\ndate: "), "{answer}");
        assert!(!error.to_string().is_empty());
    }
    let (answer, error) = asked(&acceptor, &upgrade("/file", version));
    assert!(answer.contains("Content-Length: 200000\r\n"));
    assert!(matches!(error, AcceptError::Rejected(status) if status == 403));
    let anybody = Acceptor::new().origin(OriginPolicy::Any);
    let (answer, _) = asked(&anybody, &upgrade("/moved", &of_origin));
    assert!(answer.contains("Location: /here\r\n"), "{answer}");
}

#[test]
fn frames_behind_the_request_are_not_lost() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let request = upgrade("/", "Sec-WebSocket-Version: 13\r\n");
    near.write_all(request.as_bytes()).unwrap();
    near.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
    let mut server = blocking::accept(far).unwrap();
    assert_eq!(server.recv().unwrap(), Received::Text("hi".to_owned()));
}

#[test]
fn redirects_are_followed_if_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut paths = Vec::new();
        while paths.len() < 4 {
            let (stream, _) = listener.accept().unwrap();
            let accepted = Acceptor::new().accept_with(stream, |request, _| {
                paths.push(request.path().to_owned());
                let to = match request.path() {
                    "/a" => "/b",
                    "/b" => "/c",
                    _ => return Ok(Accepted::new(())),
                };
                let moved = Response::status(sockeye::StatusCode::FOUND);
                Err(Reject::from(moved.header("location", to).unwrap()))
            });
            drop(accepted);
        }
        paths
    });
    let options = ConnectOptions::new(&format!("ws://{address}/a")).unwrap();
    let error = blocking::connect(options.clone()).unwrap_err();
    assert_eq!(error.refusal().unwrap().status, 302);
    assert!(blocking::connect(options.max_redirects(2)).is_ok());
    assert_eq!(server.join().unwrap(), ["/a", "/a", "/b", "/c"]);
}

/// Answers as a SOCKS5 proxy (RFC 1928), and says what it was asked for.
fn socks5(stream: &mut (impl Read + Write)) -> Vec<u8> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, [5, 1, 0]);
    stream.write_all(&[5, 0]).unwrap();
    let mut asked = vec![0; 5];
    stream.read_exact(&mut asked).unwrap();
    let rest = match asked[3] {
        1 => 5,
        _ => usize::from(asked[4]) + 2,
    };
    asked.resize(5 + rest, 0);
    stream.read_exact(&mut asked[5..]).unwrap();
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    asked
}

#[test]
fn through_a_socks_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for (scheme, expected) in [
        ("socks5", &b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x51"[..]),
        ("socks5h", b"\x05\x01\x00\x03\x0bserver.test\x00\x51"),
    ] {
        let asked = thread::scope(|scope| {
            let proxy = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let asked = socks5(&mut stream);
                blocking::accept(stream).unwrap().send("through").unwrap();
                asked
            });
            let through: Proxy = format!("{scheme}://{address}").parse().unwrap();
            let options = ConnectOptions::new("ws://server.test:81/")
                .unwrap()
                .resolve("server.test", 81, "10.0.0.1".parse().unwrap())
                .proxy(through);
            let mut websocket = blocking::connect(options).unwrap();
            let through = websocket.recv().unwrap();
            assert_eq!(through, Received::Text("through".to_owned()));
            proxy.join().unwrap()
        });
        assert_eq!(asked, expected);
    }
}

#[test]
fn a_silent_proxy_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy: Proxy = listener.local_addr().unwrap().to_string().parse().unwrap();
    let options = ConnectOptions::new("ws://server.test/").unwrap();
    let error = blocking::connect(options.proxy(proxy).timeout(SHORT)).unwrap_err();
    assert_eq!(error.step(), Step::Proxy);
    assert!(matches!(error.cause(), ConnectCause::TimedOut), "{error}");
}

/// A proxy that takes what it is asked for, and lets the test look at it.
#[test]
fn through_an_http_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_address = proxy.local_addr().unwrap();
    let url = "ws://server.test:81/";
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = proxy.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("CONNECT server.test:81 HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut server = blocking::accept(stream).unwrap();
            server.send("through").unwrap();
            while server.recv().is_ok() {}
            let (mut refusing, _) = proxy.accept().unwrap();
            refusing
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                .unwrap();
            let _ = refusing.read(&mut byte);
        });
        let proxy: Proxy = proxy_address.to_string().parse().unwrap();
        let options = ConnectOptions::new(url).unwrap().proxy(proxy);
        let mut websocket = blocking::connect(options.clone()).unwrap();
        assert_eq!(
            websocket.recv().unwrap(),
            Received::Text("through".to_owned())
        );
        drop(websocket);
        let error = blocking::connect(options).unwrap_err();
        assert_eq!(error.step(), Step::Proxy);
        assert!(error.to_string().contains("407"), "{error}");
    });
}
