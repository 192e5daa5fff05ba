//! What the client's tests share: a client that notes what happens, and servers to script.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sockeye::sim::{Network, Remote, Server};
use sockeye::{
    Accepted, Attempt, Bytes, CloseInfo, Conn, ConnId, ConnectError, ConnectOptions, Core, Engine,
    Limits, Peer, Protocol, ProtocolKey, ProxyChoice, Reject, Request, ServerRefusal, Step, Text,
    UplinkId,
};

/// Nothing here may take longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client was told.
#[derive(Debug)]
pub(crate) enum Seen {
    Open(ConnId, Option<String>),
    Text(String),
    Binary(Vec<u8>),
    Closed(CloseInfo),
    Failed(Failure),
    /// Number, failures, and the error or the close before.
    Attempt(u64, u32, String),
    End(UplinkId),
}

/// What there is to a [`ConnectError`].
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) text: String,
    pub(crate) refusal: Option<ServerRefusal>,
}

type UplinkHook = Box<dyn FnMut(&mut Core, &mut Attempt) -> bool>;
type OpenHook = Box<dyn FnMut(&mut Conn<'_>)>;

/// A protocol that notes everything.
pub(crate) struct Recorder {
    pub(crate) seen: Rc<RefCell<Vec<Seen>>>,
    pub(crate) on_uplink: UplinkHook,
    pub(crate) on_open: OpenHook,
    pub(crate) on_failed: Box<dyn FnMut(&mut Core)>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            seen: Rc::default(),
            on_uplink: Box::new(|_, _| true),
            on_open: Box::new(|_| ()),
            on_failed: Box::new(|_| ()),
        }
    }
}

impl Recorder {
    fn note(&self, seen: Seen) {
        self.seen.borrow_mut().push(seen);
    }
}

impl Protocol for Recorder {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(404))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        let subprotocol = conn.subprotocol().map(str::to_owned);
        self.note(Seen::Open(conn.id(), subprotocol));
        (self.on_open)(conn);
    }

    fn on_text(&mut self, _: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.note(Seen::Text(text.into_string()));
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.note(Seen::Binary(data.into_vec()));
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        self.note(Seen::Closed(info.clone()));
    }

    fn on_connect_error(&mut self, core: &mut Core, (): (), error: &ConnectError) {
        self.note(Seen::Failed(Failure {
            step: error.step(),
            text: error.to_string(),
            refusal: error.refusal().cloned(),
        }));
        (self.on_failed)(core);
    }

    fn on_uplink(&mut self, core: &mut Core, attempt: &mut Attempt) -> Option<()> {
        let before = match (attempt.error(), attempt.closed()) {
            (Some(error), None) => error.to_string(),
            (None, Some(info)) => info.to_string(),
            (None, None) => String::new(),
            both => panic!("both an error and a close: {both:?}"),
        };
        self.note(Seen::Attempt(attempt.number(), attempt.failures(), before));
        (self.on_uplink)(core, attempt).then_some(())
    }

    fn on_uplink_end(&mut self, _: &mut Core, uplink: UplinkId) {
        self.note(Seen::End(uplink));
    }
}

/// An engine with a client on it.
pub(crate) struct Client {
    pub(crate) engine: Engine,
    pub(crate) key: ProtocolKey<Recorder>,
    seen: Rc<RefCell<Vec<Seen>>>,
}

impl Client {
    pub(crate) fn new(mut engine: Engine, recorder: Recorder) -> Self {
        let seen = Rc::clone(&recorder.seen);
        let key = engine.host(recorder);
        Self { engine, key, seen }
    }

    /// On real sockets.
    pub(crate) fn real() -> Self {
        Self::new(Engine::new().unwrap(), Recorder::default())
    }

    pub(crate) fn connect(&mut self, options: ConnectOptions) -> ConnId {
        self.engine.connect(self.key, options, ()).unwrap()
    }

    /// Everything that happened since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.borrow_mut())
    }

    /// The failure that is the only thing that happened.
    pub(crate) fn failure(&self) -> Failure {
        match <[Seen; 1]>::try_from(self.seen()) {
            Ok([Seen::Failed(failure)]) => failure,
            other => panic!("no failure but {other:?}"),
        }
    }

    /// Runs on real sockets until something happens, and returns the first of it.
    pub(crate) fn next(&mut self) -> Seen {
        let end = Instant::now() + PATIENCE;
        while self.seen.borrow().is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing happens");
            self.engine.turn(Some(left)).unwrap();
        }
        self.seen.borrow_mut().remove(0)
    }

    /// As [`next`](Self::next), for a failure.
    pub(crate) fn next_failure(&mut self) -> Failure {
        match self.next() {
            Seen::Failed(failure) => failure,
            other => panic!("no failure but {other:?}"),
        }
    }
}

/// A client on a simulated network.
pub(crate) struct Rig {
    pub(crate) network: Network,
    pub(crate) client: Client,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), Recorder::default())
    }

    pub(crate) fn with(limits: Limits, recorder: Recorder) -> Self {
        let network = Network::new(3);
        let engine = network.engine().limits(limits).build().unwrap();
        Self {
            client: Client::new(engine, recorder),
            network,
        }
    }

    pub(crate) fn run(&mut self) {
        self.network.run_until_idle(&mut self.client.engine);
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.network.advance(&mut self.client.engine, time);
    }

    /// Connects to a server, which gets the request.
    pub(crate) fn connect(&mut self, server: &Server, options: ConnectOptions) -> Asked {
        self.client.connect(options);
        self.run();
        Asked::new(server.accept().expect("the engine has connected"))
    }
}

/// The server's end of a connection on which a request has come.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) remote: Remote,
    pub(crate) request: String,
}

impl Asked {
    pub(crate) fn new(remote: Remote) -> Self {
        let request = String::from_utf8(remote.read()).unwrap();
        assert!(request.ends_with("\r\n\r\n"), "{request:?}");
        Self { remote, request }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.request, name)
    }

    /// The answer of a good server.
    pub(crate) fn good_answer(&self) -> String {
        good_answer(&self.request)
    }

    pub(crate) fn accept(&self) {
        self.remote.write(self.good_answer().as_bytes());
    }
}

pub(crate) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// What RFC 6455 §4.2.2 wants as answer to a request.
pub(crate) fn good_answer(request: &str) -> String {
    let key = header(request, "Sec-WebSocket-Key").expect("a key");
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(hash.finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Direct, whatever the environment of the test says.
pub(crate) fn options(url: &str) -> ConnectOptions {
    ConnectOptions::new(url).unwrap().proxy(ProxyChoice::Direct)
}

/// Serves one real connection after the other, each in turn, until the test process ends.
pub(crate) fn serve(
    address: &str,
    mut serve: impl FnMut(TcpStream) + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            serve(stream);
        }
    });
    address
}

/// Reads a request head; nothing behind it may have come.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Accepts a WebSocket, says hello, and waits for the client to go.
pub(crate) fn greet(mut stream: TcpStream) {
    let request = read_head(&mut stream);
    let answer = good_answer(&request);
    let _ = stream.write_all(&[answer.as_bytes(), b"\x81\x05hello"].concat());
    let _ = stream.read(&mut [0; 1024]);
}
