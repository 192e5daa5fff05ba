//! An engine over transports that cost next to nothing: what is counted is the engine.
//!
//! Reads give what was put there, writes are counted and dropped. Readiness is reported by hand.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Instant;

use sockeye::net::{LocalAddr, PeerAddr};
use sockeye::poll::{Interest, Ready, Registrar, Token};
use sockeye::{Acceptor, Engine, EngineBuilder, Error, Transport};

const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7681);

/// The far side of all connections.
#[derive(Debug)]
pub(crate) struct Far {
    waiting: RefCell<VecDeque<End>>,
    listener: Cell<Option<Token>>,
    now: Instant,
}

/// A connection, seen from either side.
#[derive(Debug, Clone, Default)]
pub(crate) struct End(Rc<Pipe>);

#[derive(Debug, Default)]
struct Pipe {
    token: Cell<Option<Token>>,
    sent: RefCell<Vec<u8>>,
    answered: Cell<usize>,
}

impl Far {
    /// An engine with nobody connected. The listener is for the caller to set up.
    pub(crate) fn new() -> Result<(Rc<Self>, Engine), Error> {
        let now = Instant::now();
        let far = Rc::new(Self {
            waiting: RefCell::default(),
            listener: Cell::default(),
            now,
        });
        let builder: EngineBuilder = Engine::builder().registrar(NoDescriptor).seed([0; 32]);
        Ok((far, builder.now(now).build()?))
    }

    pub(crate) fn acceptor(self: &Rc<Self>) -> Box<dyn Acceptor> {
        Box::new(Door(Rc::clone(self)))
    }

    /// A turn that accepts a connection.
    pub(crate) fn connect(&self, engine: &mut Engine) -> End {
        let end = End::default();
        self.waiting.borrow_mut().push_back(end.clone());
        self.turn(engine, self.listener.get());
        end
    }

    /// A turn in which `bytes` arrive. Returns how many bytes were written to that connection.
    pub(crate) fn turn_with(&self, engine: &mut Engine, end: &End, bytes: &[u8]) -> usize {
        end.0.sent.borrow_mut().extend_from_slice(bytes);
        self.turn(engine, end.0.token.get());
        end.answered()
    }

    /// A turn with one report.
    pub(crate) fn turn(&self, engine: &mut Engine, token: Option<Token>) {
        if let Some(token) = token {
            let report = Ready {
                token,
                readable: true,
                writable: false,
                hangup: false,
            };
            engine.service(&[report], self.now);
        }
    }
}

impl End {
    /// How many bytes were written since the last call.
    pub(crate) fn answered(&self) -> usize {
        self.0.answered.take()
    }
}

#[derive(Debug)]
struct NoDescriptor;

impl Registrar for NoDescriptor {
    fn add(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn modify(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Door(Rc<Far>);

impl Acceptor for Door {
    fn accept(&mut self) -> io::Result<(Box<dyn Transport>, PeerAddr)> {
        match self.0.waiting.borrow_mut().pop_front() {
            Some(end) => Ok((Box::new(end), PeerAddr::Tcp(ADDRESS))),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn local_addr(&self) -> LocalAddr {
        LocalAddr::Tcp(ADDRESS)
    }

    fn set_interest(&mut self, token: Token, _: Interest) {
        self.0.listener.set(Some(token));
    }
}

impl Transport for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut sent = self.0.sent.borrow_mut();
        if sent.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = sent.len().min(buffer.len());
        buffer[..len].copy_from_slice(&sent[..len]);
        sent.drain(..len);
        Ok(len)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.0.answered.set(self.0.answered.get() + len);
        Ok(len)
    }

    fn shutdown_write(&mut self) {}

    fn set_interest(&mut self, token: Token, _: Interest) {
        self.0.token.set(Some(token));
    }

    fn peer_addr(&self) -> PeerAddr {
        PeerAddr::Tcp(ADDRESS)
    }
}
