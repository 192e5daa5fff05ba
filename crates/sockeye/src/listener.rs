//! Listeners: where connections come in, and the settings of what comes in there.
//!
//! [`Listeners`] are the sockets, which live in the core; a [`Front`] holds what may contain user
//! code, and lives beside the protocols.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::OriginPolicy;

use crate::compression::Wish;
use crate::core::Core;
use crate::engine::Engine;
use crate::files::Files;
use crate::link::{Acceptor, Link};
use crate::net::descriptor::SpareFd;
use crate::net::{self, LocalAddr, PeerAddr};
use crate::poll::{Interest, Registrar, Token};
use crate::protocol::{Peer, Protocol, ProtocolKey};
use crate::route::{Routes, Target};
use crate::tls::ServerTls;

/// Tokens from here up belong to listeners, inlets and the waker; slab indices end below.
const LISTENER_TOKENS: u64 = 1 << 31;
/// The tokens of channels from other processes.
pub(crate) const INLET_TOKENS: Range<u64> = 3 << 30..WAKER.0;
/// The waker's token.
pub(crate) const WAKER: Token = Token(u32::MAX as u64);

#[derive(Debug)]
enum Source {
    Socket(net::listener::Listener),
    Other(Box<dyn Acceptor>),
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    source: Source,
    interest: Interest,
    /// When accepting goes on after the system had no descriptors.
    resume_at: Option<Instant>,
}

impl Listener {
    pub(crate) fn accept(&mut self) -> io::Result<(Link, PeerAddr)> {
        match &mut self.source {
            Source::Socket(listener) => {
                let (socket, addr) = listener.accept()?;
                Ok((Link::Socket(socket), addr))
            }
            Source::Other(acceptor) => {
                let (transport, addr) = acceptor.accept()?;
                Ok((Link::other(transport), addr))
            }
        }
    }
}

/// All listening sockets of an engine.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<Option<Listener>>,
    spare: Option<SpareFd>,
}

impl Listeners {
    pub(crate) fn new() -> Self {
        // Without a spare descriptor the pause alone keeps a full process from spinning.
        Self {
            all: Vec::new(),
            spare: SpareFd::new().ok(),
        }
    }

    /// Which listener a token names.
    pub(crate) fn index_of(token: Token) -> Option<usize> {
        let index = token.0.checked_sub(LISTENER_TOKENS)?;
        (token.0 < INLET_TOKENS.start).then_some(index as usize)
    }

    fn token(index: usize) -> Token {
        Token(LISTENER_TOKENS + index as u64)
    }

    fn add(&mut self, source: Source, registrar: &mut dyn Registrar) -> io::Result<usize> {
        let index = self.all.len();
        let token = Self::token(index);
        let mut listener = Listener {
            source,
            interest: Interest::READ,
            resume_at: None,
        };
        match &mut listener.source {
            Source::Socket(socket) => registrar.add(socket.as_fd(), token, Interest::READ)?,
            Source::Other(acceptor) => acceptor.set_interest(token, Interest::READ),
        }
        self.all.push(Some(listener));
        Ok(index)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Listener> {
        self.all.get_mut(index)?.as_mut()
    }

    pub(crate) fn local_addr(&self, index: usize) -> Option<LocalAddr> {
        match &self.all.get(index)?.as_ref()?.source {
            Source::Socket(listener) => Some(listener.local_addr().clone()),
            Source::Other(acceptor) => Some(acceptor.local_addr()),
        }
    }

    /// Stops or resumes the reports of one listener.
    fn set_interest(&mut self, index: usize, interest: Interest, registrar: &mut dyn Registrar) {
        let Some(listener) = self.get_mut(index) else {
            return;
        };
        if listener.interest == interest {
            return;
        }
        let token = Self::token(index);
        let done = match &mut listener.source {
            Source::Socket(socket) => registrar.modify(socket.as_fd(), token, interest).is_ok(),
            Source::Other(acceptor) => {
                acceptor.set_interest(token, interest);
                true
            }
        };
        if done {
            listener.interest = interest;
        }
    }

    /// Stops reports until there is room again ([`resume`](Self::resume)).
    pub(crate) fn pause(&mut self, index: usize, registrar: &mut dyn Registrar) {
        self.set_interest(index, Interest::NONE, registrar);
    }

    /// Stops reports until `resume_at`, or less long if the connection at hand could be dismissed.
    pub(crate) fn out_of_descriptors(
        &mut self,
        index: usize,
        resume_at: Option<Instant>,
        registrar: &mut dyn Registrar,
    ) {
        if let (
            Some(spare),
            Some(Some(Listener {
                source: Source::Socket(socket),
                ..
            })),
        ) = (&mut self.spare, self.all.get(index))
        {
            // Dismissing the peer at hand beats leaving it in the queue without a word.
            drop(spare.accept_and_close(socket));
        }
        self.rest(index, resume_at, registrar);
    }

    /// Stops reports until `resume_at`.
    pub(crate) fn rest(
        &mut self,
        index: usize,
        resume_at: Option<Instant>,
        registrar: &mut dyn Registrar,
    ) {
        self.pause(index, registrar);
        if let Some(listener) = self.get_mut(index) {
            listener.resume_at = resume_at;
        }
    }

    /// The next time that a listener goes on.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.all
            .iter()
            .flatten()
            .filter_map(|listener| listener.resume_at)
            .min()
    }

    /// Lets listeners report again whose time has come, if there is room for connections. Without
    /// room their time is over all the same: then the next connection that ends resumes them.
    pub(crate) fn resume(&mut self, now: Instant, has_room: bool, registrar: &mut dyn Registrar) {
        for index in 0..self.all.len() {
            let Some(listener) = self.get_mut(index) else {
                continue;
            };
            if listener.interest == Interest::READ || listener.resume_at.is_some_and(|at| at > now)
            {
                continue;
            }
            listener.resume_at = None;
            if has_room {
                self.set_interest(index, Interest::READ, registrar);
            }
        }
    }

    /// Closes one listener.
    pub(crate) fn close(&mut self, index: usize, registrar: &mut dyn Registrar) {
        let Some(listener) = self.all.get_mut(index).and_then(Option::take) else {
            return;
        };
        if let Source::Socket(socket) = &listener.source {
            drop(registrar.remove(socket.as_fd()));
        }
    }

    /// Closes all listeners.
    pub(crate) fn close_all(&mut self, registrar: &mut dyn Registrar) {
        for index in 0..self.all.len() {
            self.close(index, registrar);
        }
    }
}

/// A hook that sees the peer's address before a byte is read.
type Filter = Box<dyn FnMut(&Peer) -> bool>;

/// A hook that sees a connection before it is taken in, and can reach those that were.
type Gate = Box<dyn FnMut(&mut Core, &Arrival<'_>) -> bool>;

/// A connection that was just accepted and is not one of the engine's yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// Whose it is.
    pub peer: &'a Peer,
    /// Its descriptor, for those who set socket options; `None` for a transport without one.
    pub fd: Option<BorrowedFd<'a>>,
}

/// What a listener does with what comes in.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) routes: Routes,
    pub(crate) origin: OriginPolicy,
    pub(crate) filter: Option<Filter>,
    pub(crate) gate: Option<Gate>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) compression: Wish,
    /// Handshakes of versions before RFC 6455 are taken.
    pub(crate) drafts: bool,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("routes", &self.routes)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// A listener being set up: each call takes effect at once.
///
/// ```
/// # fn main() -> Result<(), sockeye::Error> {
/// # let mut engine = sockeye::Engine::new()?;
/// # let chat = engine.host(sockeye::on_message(|_, _| ()));
/// let listener = engine
///     .listen("127.0.0.1:0")?
///     .route("/chat", chat)
///     .subprotocol("chat.v1", chat);
/// println!("listening on {}", listener.local_addr());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ListenerMut<'e> {
    engine: &'e mut Engine,
    index: usize,
}

impl<'e> ListenerMut<'e> {
    pub(crate) fn new(engine: &'e mut Engine, index: usize) -> Self {
        Self { engine, index }
    }

    /// Sends requests for a path to a protocol: WebSocket handshakes to its `accept`, others to its
    /// `on_request`. A pattern that ends in `*` takes every path that begins so; an exact route
    /// wins over a prefix, a longer prefix over a shorter one. Paths are compared as they were sent,
    /// without the query.
    pub fn route<P: Protocol>(mut self, pattern: &str, protocol: ProtocolKey<P>) -> Self {
        self.front()
            .routes
            .add(pattern, Target::Protocol(protocol.index));
        self
    }

    /// Sends WebSocket handshakes that offer this subprotocol to a protocol, on any path that has
    /// no route of its own, and names the subprotocol in the answer.
    pub fn subprotocol<P: Protocol>(mut self, name: &str, protocol: ProtocolKey<P>) -> Self {
        self.front().routes.add_subprotocol(name, protocol.index);
        self
    }

    /// Serves files below a path.
    pub fn files(mut self, mount: &str, files: Files) -> Self {
        let mount = mount.trim_end_matches('/');
        let mount: Arc<str> = match mount.starts_with('/') || mount.is_empty() {
            true => mount.into(),
            false => format!("/{mount}").into(),
        };
        let target = Target::Files {
            files: Arc::new(files),
            mount: Arc::clone(&mount),
        };
        if !mount.is_empty() {
            // So that the directory itself can redirect to its slash.
            self.front().routes.add(&mount, target.clone());
        }
        self.front().routes.add(&format!("{mount}/*"), target);
        self
    }

    /// Which pages of browsers may open WebSockets. The default is
    /// [`OriginPolicy::Same`]: those of the same host and port, and clients that are no browsers.
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.front().origin = policy;
        self
    }

    /// Asks about each connection before a byte of it is read; `false` closes it at once.
    pub fn filter(mut self, filter: impl FnMut(&Peer) -> bool + 'static) -> Self {
        self.front().filter = Some(Box::new(filter));
        self
    }

    /// Asks about each connection as [`filter`](Self::filter) does, after it, and lends what that
    /// does not: the connection's descriptor, and the core.
    pub fn gate(mut self, gate: impl FnMut(&mut Core, &Arrival<'_>) -> bool + 'static) -> Self {
        self.front().gate = Some(Box::new(gate));
        self
    }

    /// Speaks TLS on this listener. The settings can be replaced while it runs:
    /// [`ServerTls::reload`].
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.front().tls = Some(tls);
        self
    }

    /// The compression (permessage-deflate, RFC 7692) that clients which offer it get; `None`: none.
    /// The default is the engine's: [`EngineBuilder::deflate`](crate::EngineBuilder::deflate).
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, settings: impl Into<Option<crate::deflate::Settings>>) -> Self {
        self.front().compression = settings.into();
        self
    }

    /// Takes clients that speak a version before RFC 6455 too: hixie-76, and hybi-04 to 08. Off by
    /// default: only old clients need it, and [none of these protocols](crate::proto::drafts)
    /// protects as much as RFC 6455 does. The origin policy holds for all. Which version a
    /// connection speaks says [`Conn::version`](crate::Conn::version).
    ///
    /// hixie-76 tells the client its own address, and that it is `wss` if this listener speaks TLS:
    /// behind a proxy that does, old clients that insist on it will not be content.
    #[cfg(feature = "drafts")]
    pub fn drafts(mut self, on: bool) -> Self {
        self.front().drafts = on;
        self
    }

    /// Where it listens: with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> LocalAddr {
        let addr = self.engine.core.listeners.local_addr(self.index);
        // The listener lives as long as it is lent here.
        addr.unwrap_or_else(|| LocalAddr::Unix("".into()))
    }

    fn front(&mut self) -> &mut Front {
        &mut self.engine.fronts[self.index]
    }
}

impl Engine {
    pub(crate) fn add_listener(&mut self, listener: net::listener::Listener) -> io::Result<usize> {
        self.add_source(Source::Socket(listener))
    }

    pub(crate) fn add_acceptor(&mut self, acceptor: Box<dyn Acceptor>) -> io::Result<usize> {
        self.add_source(Source::Other(acceptor))
    }

    fn add_source(&mut self, source: Source) -> io::Result<usize> {
        let index = self
            .core
            .listeners
            .add(source, self.core.driver.registrar())?;
        self.fronts.push(Front {
            compression: self.core.compression.wish,
            ..Front::default()
        });
        Ok(index)
    }
}
