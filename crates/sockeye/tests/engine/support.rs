//! What the engine's tests share: a scripted protocol on a simulated network.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sockeye::sim::{Listener, Network, Remote, WebSocket};
use sockeye::{
    Accepted, Bytes, Chunk, CloseInfo, Conn, ConnId, ConnectError, Core, Delivery, Engine,
    Exchange, Limits, Overflow, Peer, Prepared, Protocol, ProtocolKey, Reject, Request, Response,
    Text,
};

/// What a protocol was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happening {
    Open,
    Text(String),
    Binary(Vec<u8>),
    Chunk(Vec<u8>, bool),
    Writable,
    Pong(Vec<u8>),
    Timeout,
    Broadcast(Vec<u8>),
    Close(CloseInfo),
}

/// A session that counts how many of its kind are alive.
pub(crate) struct Session {
    alive: Rc<Cell<i32>>,
    opened: bool,
    closed: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

type Hook = Box<dyn FnMut(&mut Conn<'_>, &Happening)>;
type UpgradeHook = Box<dyn FnMut(&mut Exchange<'_>, &Request<'_>)>;
type RequestHook = Box<dyn FnMut(&mut Exchange<'_>, &Request<'_>, &[u8])>;

/// A protocol that notes everything and then does what its script says.
pub(crate) struct Script {
    pub(crate) log: Rc<RefCell<Vec<(ConnId, Happening)>>>,
    pub(crate) alive: Rc<Cell<i32>>,
    pub(crate) hook: Hook,
    pub(crate) upgrade: UpgradeHook,
    pub(crate) request: RequestHook,
    pub(crate) body_limit: u64,
    pub(crate) delivery: Delivery,
    pub(crate) overflow: Overflow,
    pub(crate) connect_errors: Rc<RefCell<Vec<String>>>,
    pub(crate) on_connect_error: Box<dyn FnMut(&mut Core)>,
}

impl Script {
    pub(crate) fn new(hook: impl FnMut(&mut Conn<'_>, &Happening) + 'static) -> Self {
        Self {
            log: Rc::default(),
            alive: Rc::default(),
            hook: Box::new(hook),
            upgrade: Box::new(|_, _| ()),
            request: Box::new(|http, _, _| {
                http.respond(Response::upgrade_required());
            }),
            body_limit: 0,
            delivery: Delivery::Whole,
            overflow: Overflow::Close,
            connect_errors: Rc::default(),
            on_connect_error: Box::new(|_| ()),
        }
    }

    pub(crate) fn session(&self) -> Session {
        self.alive.set(self.alive.get() + 1);
        Session {
            alive: Rc::clone(&self.alive),
            opened: false,
            closed: false,
        }
    }

    fn happens(&mut self, conn: &mut Conn<'_>, session: &mut Session, happening: Happening) {
        match happening {
            Happening::Open => assert!(!std::mem::replace(&mut session.opened, true), "open twice"),
            Happening::Close(_) => {
                assert!(session.opened, "closed but never opened");
                assert!(
                    !std::mem::replace(&mut session.closed, true),
                    "closed twice"
                );
            }
            _ => assert!(
                session.opened && !session.closed,
                "{happening:?} out of order"
            ),
        }
        self.log.borrow_mut().push((conn.id(), happening.clone()));
        (self.hook)(conn, &happening);
    }
}

impl Protocol for Script {
    type Session = Session;

    fn on_upgrade(&mut self, http: &mut Exchange<'_>, request: &Request<'_>) {
        (self.upgrade)(http, request);
    }

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<Session>, Reject> {
        Ok(Accepted::new(self.session())
            .delivery(self.delivery)
            .overflow(self.overflow))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, session: &mut Session) {
        self.happens(conn, session, Happening::Open);
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, session: &mut Session, text: Text<'_>) {
        self.happens(conn, session, Happening::Text(text.into_string()));
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, session: &mut Session, data: Bytes<'_>) {
        self.happens(conn, session, Happening::Binary(data.into_vec()));
    }

    fn on_chunk(&mut self, conn: &mut Conn<'_>, session: &mut Session, chunk: Chunk<'_>) {
        self.happens(
            conn,
            session,
            Happening::Chunk(chunk.data.to_vec(), chunk.last),
        );
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, session: &mut Session) {
        self.happens(conn, session, Happening::Writable);
    }

    fn on_pong(&mut self, conn: &mut Conn<'_>, session: &mut Session, data: Bytes<'_>) {
        self.happens(conn, session, Happening::Pong(data.into_vec()));
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, session: &mut Session) {
        self.happens(conn, session, Happening::Timeout);
    }

    fn on_broadcast(&mut self, conn: &mut Conn<'_>, session: &mut Session, message: &Prepared) {
        self.happens(conn, session, Happening::Broadcast(message.data().to_vec()));
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, mut session: Session, info: &CloseInfo) {
        self.happens(conn, &mut session, Happening::Close(info.clone()));
    }

    fn on_connect_error(&mut self, core: &mut Core, session: Session, error: &ConnectError) {
        drop(session);
        self.connect_errors.borrow_mut().push(error.to_string());
        (self.on_connect_error)(core);
    }

    fn body_limit(&mut self, _: &Request<'_>) -> u64 {
        self.body_limit
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, body: &[u8]) {
        (self.request)(http, request, body);
    }
}

/// An engine on a network, with one scripted protocol at `/`.
pub(crate) struct Bench {
    pub(crate) network: Network,
    pub(crate) engine: Engine,
    pub(crate) listener: Listener,
    pub(crate) key: ProtocolKey<Script>,
    pub(crate) log: Rc<RefCell<Vec<(ConnId, Happening)>>>,
    pub(crate) alive: Rc<Cell<i32>>,
}

impl Bench {
    pub(crate) fn new(hook: impl FnMut(&mut Conn<'_>, &Happening) + 'static) -> Self {
        Self::with(Limits::default(), Script::new(hook))
    }

    pub(crate) fn with(limits: Limits, script: Script) -> Self {
        Self::seeded(1, limits, script)
    }

    pub(crate) fn seeded(seed: u64, limits: Limits, script: Script) -> Self {
        let network = Network::new(seed);
        let mut engine = network.engine().limits(limits).build().unwrap();
        let (log, alive) = (Rc::clone(&script.log), Rc::clone(&script.alive));
        let key = engine.host(script);
        let listener = network.listener();
        engine
            .listen_on(listener.acceptor())
            .unwrap()
            .route("*", key);
        Self {
            network,
            engine,
            listener,
            key,
            log,
            alive,
        }
    }

    pub(crate) fn run(&mut self) {
        self.network.run_until_idle(&mut self.engine);
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.network.advance(&mut self.engine, time);
    }

    pub(crate) fn remote(&self) -> Remote {
        self.network.connect(&self.listener)
    }

    /// A client whose handshake is done.
    pub(crate) fn client(&mut self) -> WebSocket {
        let client = self.remote().websocket("/");
        self.run();
        assert!(client.is_open());
        assert_eq!(client.received(), [sockeye::sim::Received::Open(None)]);
        client
    }

    pub(crate) fn connections(&mut self) -> usize {
        self.engine.core().connection_count()
    }

    /// The id of the newest connection in the log.
    pub(crate) fn last_id(&self) -> ConnId {
        self.log.borrow().last().expect("something happened").0
    }

    /// Takes what happened, without the ids.
    pub(crate) fn happenings(&self) -> Vec<Happening> {
        let log = std::mem::take(&mut *self.log.borrow_mut());
        log.into_iter().map(|(_, happening)| happening).collect()
    }

    /// How each connection ended, in order.
    pub(crate) fn closes(&self) -> Vec<CloseInfo> {
        self.log
            .borrow()
            .iter()
            .filter_map(|(_, happening)| match happening {
                Happening::Close(info) => Some(info.clone()),
                _ => None,
            })
            .collect()
    }

    /// Nothing is left of any connection.
    pub(crate) fn assert_empty(&mut self) {
        assert_eq!(self.connections(), 0, "connections are left");
        assert_eq!(self.alive.get(), 0, "sessions are left");
        assert_eq!(self.engine.connections(self.key), [], "seats are left");
    }
}

/// A protocol that sends everything back.
pub(crate) fn echo(conn: &mut Conn<'_>, happening: &Happening) {
    match happening {
        Happening::Text(text) => drop(conn.send(text)),
        Happening::Binary(data) => drop(conn.send(data)),
        _ => {}
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A handshake as raw bytes.
pub(crate) const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A frame as a client sends it, with a mask of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
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
