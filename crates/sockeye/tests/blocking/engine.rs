//! The blocking face and the engine, each as client and as server.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use sockeye::blocking::{self, Error, Received, Stream};
use sockeye::{
    Accepted, CloseCode, CloseInfo, Conn, ConnectOptions, Engine, Limits, Peer, Protocol,
    ProxyChoice, Reject, Request, Step, Text,
};

use crate::rig::{Echo, LONG, SHORT, pattern};

fn url(echo: &Echo) -> String {
    format!("ws://{}/echo", echo.address())
}

#[test]
fn an_engine_answers_over_tcp() {
    let echo = Echo::start("127.0.0.1:0");
    let options = ConnectOptions::new(&url(&echo))
        .unwrap()
        .proxy(ProxyChoice::Direct)
        .subprotocol("echo.v1");
    let mut websocket = blocking::connect(options).unwrap();
    assert_eq!(websocket.subprotocol(), Some("echo.v1"));
    assert!(
        websocket
            .response_headers()
            .contains_key("sec-websocket-accept")
    );
    assert!(matches!(websocket.stream(), Stream::Tcp(_)));
    for len in [0, 1, 126, 65_536, 1_000_000, 16 * 1024 * 1024] {
        let data = pattern(len);
        websocket.send(&data).unwrap();
        assert!(websocket.recv().unwrap() == Received::Binary(data), "{len}");
    }
    let info = websocket.close(CloseCode::NORMAL, "").unwrap();
    assert!(info.clean, "{info}");
}

#[test]
#[cfg(feature = "drafts")]
fn a_client_speaks_old_versions() {
    use sockeye::{Handle, Version, on_message};

    let (tell, told) = mpsc::channel::<(Handle, u16)>();
    let server = thread::spawn(move || {
        let mut engine = Engine::new().unwrap();
        let echo = engine.host(on_message(|conn, message| {
            conn.send(message);
        }));
        let listener = engine.listen("127.0.0.1:0").unwrap();
        let listener = listener.drafts(true).route("*", echo);
        let port = match listener.local_addr() {
            sockeye::net::LocalAddr::Tcp(address) => address.port(),
            other => panic!("{other:?}"),
        };
        tell.send((engine.handle(), port)).unwrap();
        engine.run().unwrap();
    });
    let (handle, port) = told.recv().unwrap();
    for version in Version::ALL {
        let options = ConnectOptions::new(&format!("ws://127.0.0.1:{port}/"))
            .unwrap()
            .proxy(ProxyChoice::Direct)
            .version(version);
        let mut websocket = blocking::connect(options).unwrap();
        for text in ["hello", "", &"x".repeat(100_000)] {
            websocket.send(text).unwrap();
            let received = websocket.recv().unwrap();
            assert!(received == Received::Text(text.to_owned()), "{version}");
        }
        let info = websocket.close(CloseCode::NORMAL, "").unwrap();
        assert!(info.clean, "{version}: {info}");
    }
    handle.shutdown(std::time::Duration::ZERO).unwrap();
    server.join().unwrap();
}

#[test]
fn an_engine_answers_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo.sock");
    let echo = Echo::start(&format!("unix:{}", path.display()));
    let url = format!("ws+unix:{}:/echo", echo.path().display());
    let mut websocket = blocking::connect(url).unwrap();
    assert!(matches!(websocket.stream(), Stream::Unix(_)));
    websocket.send("hello").unwrap();
    assert_eq!(
        websocket.recv().unwrap(),
        Received::Text("hello".to_owned())
    );
    assert!(websocket.close(CloseCode::NORMAL, "").unwrap().clean);
}

#[test]
fn a_name_is_looked_up() {
    let echo = Echo::start("127.0.0.1:0");
    let port = echo.address().port();
    let mut websocket = blocking::connect(format!("ws://localhost:{port}/echo")).unwrap();
    websocket.send("hello").unwrap();
    assert_eq!(
        websocket.recv().unwrap(),
        Received::Text("hello".to_owned())
    );
    let options = ConnectOptions::new(&format!("ws://nowhere.test:{port}/echo")).unwrap();
    let known = options.resolve("nowhere.test", port, "127.0.0.1".parse().unwrap());
    assert!(blocking::connect(known).is_ok());
}

#[test]
fn another_address_is_tried() {
    let echo = Echo::start("127.0.0.1:0");
    let port = echo.address().port();
    let to = |addresses: &[&str]| {
        let options = ConnectOptions::new(&format!("ws://two.test:{port}/echo")).unwrap();
        addresses.iter().fold(options, |options, address| {
            options.resolve("two.test", port, address.parse().unwrap())
        })
    };
    assert!(blocking::connect(to(&["127.0.0.3", "127.0.0.1"])).is_ok());

    // A listener whose queue is full says nothing.
    let silent = TcpListener::bind(("127.0.0.2", port)).unwrap();
    rustix::net::listen(&silent, 0).unwrap();
    let address = silent.local_addr().unwrap();
    let waiting: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, SHORT).ok()).collect();
    let before = Instant::now();
    assert!(blocking::connect(to(&["127.0.0.2", "127.0.0.1"])).is_ok());
    assert!(before.elapsed() < LONG / 4);
    let alone = to(&["127.0.0.2"]).timeout(SHORT);
    assert_eq!(blocking::connect(alone).unwrap_err().step(), Step::Connect);
    drop(waiting);
}

#[test]
fn an_engine_that_shuts_down_says_so() {
    let echo = Echo::start("127.0.0.1:0");
    let mut websocket = blocking::connect(url(&echo)).unwrap();
    websocket.send("hello").unwrap();
    websocket.recv().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop(echo));
        match websocket.recv().unwrap_err() {
            Error::Closed(info) => assert!([1001, 1006].contains(&u16::from(info.code)), "{info}"),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn a_refusal_names_the_step_and_keeps_the_answer() {
    let echo = Echo::start("127.0.0.1:0");
    let error = blocking::connect(format!("ws://{}/nothing", echo.address())).unwrap_err();
    assert_eq!(error.step(), Step::Handshake);
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, 404);
    assert!(!refusal.body.is_empty());
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = blocking::connect(format!("ws://{address}/")).unwrap_err();
    assert_eq!(error.step(), Step::Connect);
    assert!(error.to_string().contains("refused"), "{error}");
    let error = blocking::connect("http://example.test/").unwrap_err();
    assert_eq!(error.step(), Step::Prepare);
}

#[test]
fn an_idle_connection_is_closed_by_whoever_tires_first() {
    let idle = |engine: Engine| {
        drop(engine);
        let limits = Limits {
            idle_timeout: Some(SHORT),
            ..Limits::default()
        };
        Engine::builder().limits(limits).build().unwrap()
    };
    let echo = Echo::start_with("127.0.0.1:0", idle);
    let mut websocket = blocking::connect(url(&echo)).unwrap();
    let before = Instant::now();
    let error = websocket.recv().unwrap_err();
    assert_eq!(error.close_info().unwrap().code, CloseCode::GOING_AWAY);
    assert!(before.elapsed() < LONG);
}

/// Says hello, and sends what it got back to the test.
struct Greeter(mpsc::Sender<String>);

impl Protocol for Greeter {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(403))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.send("hello");
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.0.send(text.to_string()).unwrap();
        conn.close(CloseCode::NORMAL, "that is all");
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        self.0.send(info.to_string()).unwrap();
    }
}

#[test]
fn an_engine_asks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut websocket = blocking::accept(stream).unwrap();
        let hello = websocket.recv().unwrap();
        assert_eq!(hello, Received::Text("hello".to_owned()));
        websocket.send("hello yourself").unwrap();
        assert_eq!(websocket.next_message().unwrap(), None);
        websocket.recv().unwrap_err()
    });
    let (sender, receiver) = mpsc::channel();
    let mut engine = Engine::new().unwrap();
    let greeter = engine.host(Greeter(sender));
    let url = format!("ws://{address}/");
    engine.connect(greeter, url.as_str(), ()).unwrap();
    let mut heard = Vec::new();
    let until = Instant::now() + LONG;
    while heard.len() < 2 {
        assert!(Instant::now() < until, "{heard:?}");
        engine.turn(Some(LONG)).unwrap();
        heard.extend(receiver.try_iter());
    }
    assert_eq!(
        heard,
        ["hello yourself", "closed with 1000 \"that is all\""]
    );
    match server.join().unwrap() {
        Error::Closed(info) => assert_eq!(info.reason, "that is all"),
        other => panic!("{other}"),
    }
}
