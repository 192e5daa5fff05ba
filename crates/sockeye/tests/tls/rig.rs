//! Engines to test with: a server on a thread of its own, and a client that a test drives.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sockeye::tls::{
    Backend, ClientTls, ClientTlsOptions, Identity, Roots, ServerTls, ServerTlsOptions, TlsInfo,
};
use sockeye::{
    Accepted, Bytes, CloseCause, CloseInfo, Conn, ConnId, ConnectError, ConnectOptions, Core,
    Engine, Exchange, Handle, Limits, Message, OriginPolicy, Peer, Protocol, ProtocolKey, Reject,
    Request, Response, StatusCode, Text,
};

use crate::certificate::{Ca, Pair};

/// Whatever has to happen happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn identity(pair: &Pair) -> Identity {
    Identity::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

/// The pair's own certificate in DER.
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    let der = rustls_pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes());
    der.unwrap().to_vec()
}

pub(crate) fn roots(ca: &Ca) -> Roots {
    Roots::none().with_pem(ca.pem().as_bytes()).unwrap()
}

pub(crate) fn client_tls(backend: Backend, ca: &Ca) -> ClientTls {
    ClientTls::new(ClientTlsOptions::new(roots(ca)).backend(backend)).unwrap()
}

pub(crate) fn server_options(backend: Backend, pair: &Pair) -> ServerTlsOptions {
    ServerTlsOptions::new(identity(pair)).backend(backend)
}

/// What a server saw.
#[derive(Debug)]
pub(crate) enum Seen {
    Accepted(Option<TlsInfo>),
    Closed(CloseInfo),
}

/// Sends every message back, and answers every request with `plain`.
struct Echo {
    seen: mpsc::Sender<Seen>,
}

impl Echo {
    fn tell(&self, seen: Seen) {
        // A test need not wait for everything.
        let _ = self.seen.send(seen);
    }
}

impl Protocol for Echo {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, peer: &Peer) -> Result<Accepted<()>, Reject> {
        self.tell(Seen::Accepted(peer.tls().cloned()));
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.send(&*text);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.send(&*data);
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        self.tell(Seen::Closed(info.clone()));
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, _: &Request<'_>, _: &[u8]) {
        http.respond(Response::status(StatusCode::OK).with_body("plain"));
    }
}

/// A server on its own thread.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Receiver<Seen>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(tls: impl Into<Option<ServerTls>>) -> Self {
        Self::with_limits(tls, Limits::default())
    }

    pub(crate) fn with_limits(tls: impl Into<Option<ServerTls>>, limits: Limits) -> Self {
        let (tls, (seen_by, seen), (ready_by, ready)) =
            (tls.into(), mpsc::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            let mut engine = Engine::builder().limits(limits).build().unwrap();
            let addr = listen(&mut engine, tls, seen_by);
            ready_by.send((addr, engine.handle())).unwrap();
            engine.run().unwrap();
        });
        let (addr, handle) = ready.recv_timeout(SOON).unwrap();
        Self {
            addr,
            seen,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("wss://{host}:{}/echo", self.addr.port())
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    pub(crate) fn next(&self) -> Seen {
        self.seen.recv_timeout(SOON).unwrap()
    }

    /// What TLS agreed on for the next WebSocket.
    pub(crate) fn accepted(&self) -> TlsInfo {
        match self.next() {
            Seen::Accepted(info) => info.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn closed(&self) -> CloseCause {
        match self.next() {
            Seen::Closed(info) => info.cause,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.handle.shutdown(Duration::ZERO);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

/// Lets an engine listen with an echo protocol.
pub(crate) fn listen(
    engine: &mut Engine,
    tls: Option<ServerTls>,
    seen: mpsc::Sender<Seen>,
) -> SocketAddr {
    let echo = engine.host(Echo { seen });
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let listener = listener.route("/*", echo).origin(OriginPolicy::Any);
    let listener = match tls {
        None => listener,
        Some(tls) => listener.tls(tls),
    };
    listener.local_addr().tcp().unwrap()
}

/// What a client saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) opened: usize,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) closed: Vec<CloseInfo>,
    pub(crate) failed: Vec<String>,
}

struct Listener {
    log: Rc<RefCell<Log>>,
}

impl Protocol for Listener {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(403))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        let mut log = self.log.borrow_mut();
        log.opened += 1;
        log.tls = conn.peer().and_then(|peer| peer.tls().cloned());
    }

    fn on_text(&mut self, _: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.log
            .borrow_mut()
            .messages
            .push(text.as_bytes().to_vec());
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.log.borrow_mut().messages.push(data.to_vec());
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        self.log.borrow_mut().closed.push(info.clone());
    }

    fn on_connect_error(&mut self, _: &mut Core, (): (), error: &ConnectError) {
        self.log.borrow_mut().failed.push(error.to_string());
    }
}

/// A client on the test's own thread.
pub(crate) struct Client {
    pub(crate) engine: Engine,
    pub(crate) log: Rc<RefCell<Log>>,
    key: ProtocolKey<Listener>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let mut engine = Engine::builder().limits(limits).build().unwrap();
        let log = Rc::<RefCell<Log>>::default();
        let key = engine.host(Listener {
            log: Rc::clone(&log),
        });
        Self { engine, log, key }
    }

    pub(crate) fn connect(&mut self, url: &str, tls: &ClientTls) -> ConnId {
        let options = ConnectOptions::new(url).unwrap().tls(tls.clone());
        self.engine.connect(self.key, options, ()).unwrap()
    }

    /// Connects and waits till it is open.
    pub(crate) fn open(&mut self, url: &str, tls: &ClientTls) -> ConnId {
        let opened = self.log.borrow().opened;
        let id = self.connect(url, tls);
        self.wait(|log| log.opened > opened);
        id
    }

    /// Connects and waits till that has failed. Returns how.
    pub(crate) fn refused(&mut self, url: &str, tls: &ClientTls) -> String {
        self.connect(url, tls);
        self.wait(|log| !(log.failed.is_empty() && log.closed.is_empty()));
        let mut log = self.log.borrow_mut();
        match log.failed.pop() {
            Some(failed) => failed,
            None => log.closed.pop().unwrap().to_string(),
        }
    }

    pub(crate) fn send<'m>(&mut self, id: ConnId, message: impl Into<Message<'m>>) {
        assert!(self.engine.core().send(id, message).is_sent());
    }

    /// Sends a message and waits for its echo.
    pub(crate) fn echo(&mut self, id: ConnId, message: &[u8]) {
        self.log.borrow_mut().messages.clear();
        self.send(id, message);
        self.wait(|log| !log.messages.is_empty());
        assert!(self.log.borrow().messages == [message], "not what was sent");
    }

    /// Runs till the log says so.
    pub(crate) fn wait(&mut self, done: impl Fn(&Log) -> bool) {
        let end = Instant::now() + SOON;
        while !done(&self.log.borrow()) {
            assert!(Instant::now() < end, "not in time: {:?}", self.log.borrow());
            self.engine.turn(Some(Duration::from_millis(100))).unwrap();
        }
    }
}
