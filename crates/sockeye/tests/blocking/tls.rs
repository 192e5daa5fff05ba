//! TLS under blocking WebSockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::thread;

use rcgen::CertifiedKey;
use sockeye::blocking::{self, AcceptError, Error, Received, Stream, TlsStream, WebSocket};
use sockeye::tls::{ClientTls, ClientTlsOptions, Identity, Roots, ServerTls, ServerTlsOptions};
use sockeye::{CloseCause, CloseCode, ConnectCause, ConnectOptions, Engine, Step, on_message};

use crate::rig::{Echo, LONG, pattern, tcp_pair};

/// A certificate for localhost, and its key, in PEM.
static IDENTITY: LazyLock<(String, String)> = LazyLock::new(|| {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
});

fn server() -> ServerTls {
    let (certificate, key) = &*IDENTITY;
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    ServerTls::new(ServerTlsOptions::new(identity)).unwrap()
}

pub(crate) fn client() -> ClientTls {
    let roots = Roots::none().with_pem(IDENTITY.0.as_bytes()).unwrap();
    ClientTls::new(ClientTlsOptions::new(roots)).unwrap()
}

pub(crate) fn pair() -> (
    WebSocket<TlsStream<TcpStream>>,
    WebSocket<TlsStream<TcpStream>>,
) {
    let (near, far) = tcp_pair();
    let near = TlsStream::connect(near, "localhost", &client()).unwrap();
    let far = TlsStream::accept(far, &server()).unwrap();
    crate::rig::open(near, far)
}

#[test]
fn both_ends_know_what_was_agreed_on() {
    let (mut near, mut far) = pair();
    for websocket in [&near, &far] {
        let info = websocket.peer().tls().unwrap();
        assert_eq!(info.version, Some("TLSv1.3"));
    }
    assert_eq!(
        far.peer().tls().unwrap().server_name.as_deref(),
        Some("localhost")
    );
    assert_eq!(near.peer().tls().unwrap().peer_certificates.len(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(received) = far.next_message().unwrap() {
                far.send(received.message().unwrap()).unwrap();
            }
        });
        for len in [0, 1, 16 * 1024, 100_000, 5_000_000] {
            let data = pattern(len);
            near.send(&data).unwrap();
            assert!(near.recv().unwrap() == Received::Binary(data), "{len}");
        }
        assert!(near.close(CloseCode::NORMAL, "").unwrap().clean);
    });
}

fn options(address: std::net::SocketAddr) -> ConnectOptions {
    ConnectOptions::new(&format!("wss://localhost:{}/echo", address.port()))
        .unwrap()
        .resolve("localhost", address.port(), address.ip())
        .tls(client())
}

#[test]
fn an_engine_answers() {
    let echo = Echo::listening("127.0.0.1:0", |engine| engine, |it| it.tls(server()));
    let mut websocket = blocking::connect(options(echo.address())).unwrap();
    assert!(matches!(websocket.stream(), Stream::Tls(_)));
    assert!(websocket.peer().tls().is_some());
    let data = pattern(16 * 1024 * 1024);
    websocket.send(&data).unwrap();
    assert!(websocket.recv().unwrap() == Received::Binary(data));
    assert!(websocket.close(CloseCode::NORMAL, "").unwrap().clean);
}

#[test]
fn an_engine_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let server = blocking::Server::new().tls(server());
        server.serve(listener.incoming().take(1), |mut websocket| {
            websocket.send("hello").unwrap();
            let info = websocket.close(CloseCode::NORMAL, "").unwrap();
            assert!(info.clean, "{info}");
        })
    });
    let mut engine = Engine::new().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let asking = engine.host(on_message(move |_, message| {
        sender.send(message.data().to_vec()).unwrap();
    }));
    engine.connect(asking, options(address), ()).unwrap();
    let until = std::time::Instant::now() + LONG;
    while !engine.connections(asking).is_empty() || !serving.is_finished() {
        assert!(std::time::Instant::now() < until);
        engine.turn(Some(LONG / 100)).unwrap();
    }
    assert_eq!(receiver.try_recv().unwrap(), b"hello");
    serving.join().unwrap().unwrap();
}

#[test]
fn strangers_are_not_trusted() {
    let echo = Echo::listening("127.0.0.1:0", |engine| engine, |it| it.tls(server()));
    let names = ["localhost".to_owned()];
    let other = rcgen::generate_simple_self_signed(names)
        .unwrap()
        .cert
        .pem();
    let roots = Roots::none().with_pem(other.as_bytes()).unwrap();
    let tls = ClientTls::new(ClientTlsOptions::new(roots)).unwrap();
    let error = blocking::connect(options(echo.address()).tls(tls)).unwrap_err();
    assert_eq!(error.step(), Step::Tls);
    assert!(matches!(error.cause(), ConnectCause::Tls(_)), "{error}");
}

#[test]
fn plain_text_and_tls_do_not_mix() {
    let echo = Echo::start("127.0.0.1:0");
    let error = blocking::connect(options(echo.address())).unwrap_err();
    assert_eq!(error.step(), Step::Tls, "{error}");

    let (mut near, far) = tcp_pair();
    near.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let far = TlsStream::accept(far, &server()).unwrap();
    let error = blocking::accept(far).unwrap_err();
    assert!(matches!(error, AcceptError::Tls(_)), "{error:?}");
}

#[test]
fn an_end_that_nobody_announced_is_told() {
    let (mut near, far) = pair();
    far.stream().stream().shutdown(Shutdown::Write).unwrap();
    match near.recv().unwrap_err() {
        Error::Closed(info) => assert_eq!(info.cause, CloseCause::Truncated),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tls_stream_reads_and_writes() {
    let (near, far) = UnixStream::pair().unwrap();
    let data = pattern(1_000_000);
    thread::scope(|scope| {
        // The server writes first, more than a session buffers: that drives the handshake.
        let server = scope.spawn(|| {
            let mut far = TlsStream::accept(far, &server()).unwrap();
            far.write_all(&data).unwrap();
            far.flush().unwrap();
            let mut back = vec![0; data.len()];
            far.read_exact(&mut back).unwrap();
            assert!(back == data);
        });
        let mut near = TlsStream::connect(near, "localhost", &client()).unwrap();
        assert_eq!(near.info(), None);
        let mut there = vec![0; data.len()];
        near.read_exact(&mut there).unwrap();
        assert!(there == data);
        near.write_all(&there).unwrap();
        near.flush().unwrap();
        assert!(near.info().is_some());
        server.join().unwrap();
    });
}

/// Both write before either reads: each finds the other's first byte while it still shakes hands.
#[test]
fn who_writes_first_loses_nothing() {
    let (near, far) = UnixStream::pair().unwrap();
    let data = pattern(100_000);
    let exchange = |mut stream: TlsStream<UnixStream>| {
        stream.write_all(&data).unwrap();
        stream.flush().unwrap();
        let mut other = vec![0; data.len()];
        stream.read_exact(&mut other).unwrap();
        assert!(other == data);
    };
    thread::scope(|scope| {
        scope.spawn(|| exchange(TlsStream::accept(far, &server()).unwrap()));
        exchange(TlsStream::connect(near, "localhost", &client()).unwrap());
    });
}
