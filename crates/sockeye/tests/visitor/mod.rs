//! A client for tests that writes down what it sees, and a way to wait for something to happen.
//!
//! It is the engine's own client, driven turn by turn; nothing here sleeps.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockeye::{
    Accepted, Bytes, CloseInfo, Conn, ConnId, ConnectError, ConnectOptions, Core, Engine, Peer,
    Protocol, ProtocolKey, Reject, Request, Text,
};

/// After this long, what is waited for will not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// A socket that the engine does not know is looked at this often.
const PACE: Duration = Duration::from_millis(20);

/// Serves turns until the condition holds.
pub(crate) fn until(engine: &mut Engine, what: &str, mut done: impl FnMut(&mut Engine) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done(engine) {
        assert!(Instant::now() < deadline, "in vain: {what}");
        engine.turn(Some(PACE)).unwrap();
    }
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    open: bool,
    got: VecDeque<Got>,
    closed: Option<CloseInfo>,
    error: Option<String>,
}

/// The protocol of the clients.
#[derive(Debug)]
pub(crate) struct Visitor;

impl Protocol for Visitor {
    type Session = Rc<RefCell<Seen>>;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<Self::Session>, Reject> {
        Err(Reject::status(404))
    }

    fn on_open(&mut self, _: &mut Conn<'_>, seen: &mut Self::Session) {
        seen.borrow_mut().open = true;
    }

    fn on_text(&mut self, _: &mut Conn<'_>, seen: &mut Self::Session, text: Text<'_>) {
        let got = Got::Text(text.into_string());
        seen.borrow_mut().got.push_back(got);
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, seen: &mut Self::Session, data: Bytes<'_>) {
        let got = Got::Binary(data.into_vec());
        seen.borrow_mut().got.push_back(got);
    }

    fn on_pong(&mut self, _: &mut Conn<'_>, seen: &mut Self::Session, data: Bytes<'_>) {
        let got = Got::Pong(data.into_vec());
        seen.borrow_mut().got.push_back(got);
    }

    fn on_close(&mut self, _: &mut Conn<'_>, seen: Self::Session, info: &CloseInfo) {
        let before = seen.borrow_mut().closed.replace(info.clone());
        assert_eq!(before, None, "a session ends once");
    }

    fn on_connect_error(&mut self, _: &mut Core, seen: Self::Session, error: &ConnectError) {
        seen.borrow_mut().error = Some(error.to_string());
    }
}

/// One connection of a [`Visitor`].
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) id: ConnId,
    seen: Rc<RefCell<Seen>>,
}

impl Visit {
    /// Begins to connect.
    pub(crate) fn begin(
        engine: &mut Engine,
        visitor: ProtocolKey<Visitor>,
        options: ConnectOptions,
    ) -> Self {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let id = engine.connect(visitor, options, Rc::clone(&seen)).unwrap();
        Self { id, seen }
    }

    /// Connects and waits till it is open.
    pub(crate) fn open(engine: &mut Engine, visitor: ProtocolKey<Visitor>, url: &str) -> Self {
        let visit = Self::begin(engine, visitor, ConnectOptions::new(url).unwrap());
        until(engine, url, |_| {
            assert_eq!(visit.seen.borrow().error, None);
            visit.seen.borrow().open
        });
        visit
    }

    pub(crate) fn is_open(&self) -> bool {
        self.seen.borrow().open
    }

    /// What came and was not asked for yet.
    pub(crate) fn take(&self) -> Vec<Got> {
        self.seen.borrow_mut().got.drain(..).collect()
    }

    /// Waits for the next message.
    pub(crate) fn got(&self, engine: &mut Engine) -> Got {
        until(engine, "a message", |_| {
            let seen = self.seen.borrow();
            assert!(!seen.got.is_empty() || seen.closed.is_none(), "{seen:?}");
            !seen.got.is_empty()
        });
        self.seen.borrow_mut().got.pop_front().unwrap()
    }

    /// Waits for the next message, which must be this text.
    pub(crate) fn expect(&self, engine: &mut Engine, text: &str) {
        assert_eq!(self.got(engine), Got::Text(text.to_owned()));
    }

    /// Waits for the end.
    pub(crate) fn closed(&self, engine: &mut Engine) -> CloseInfo {
        until(engine, "the end of a connection", |_| {
            self.seen.borrow().closed.is_some()
        });
        self.seen.borrow_mut().closed.take().unwrap()
    }

    /// Waits for the attempt to fail.
    pub(crate) fn error(&self, engine: &mut Engine) -> String {
        until(engine, "a refusal", |_| self.seen.borrow().error.is_some());
        self.seen.borrow_mut().error.take().unwrap()
    }
}
