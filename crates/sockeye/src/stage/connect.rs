//! The connect stage: from a URL to an open WebSocket.
//!
//! ```text
//! resolve ──▶ race ──▶ (proxy) ──▶ (TLS) ──▶ handshake ──▶ WebSocket
//!    ▲                                           │
//!    └───────────────── redirect ────────────────┘
//! ```
//! One deadline spans all of it, and nothing that arrives extends it. A failure gives the session
//! back to its protocol. How the addresses of a host race each other is in `race`.

use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::{Answer, Connect, HandshakeError};
use sockeye_proto::ws::Role;
use sockeye_proto::{CloseCode, Cx};

use super::race::Race;
use crate::client::{
    ConnectCause, ConnectError, ConnectOptions, Destination, Proxy, ProxyChoice, ProxyError,
    ProxyHandshake, ProxyKind, Step, UplinkId,
};
use crate::compression;
use crate::conn::Conn;
use crate::core::{Core, Deferred};
use crate::draft;
use crate::engine::Engine;
use crate::entry::{Entry, SessionRef, Stage};
use crate::error::Error;
use crate::handle::Command;
use crate::id::ConnId;
use crate::link::Link;
use crate::net::socket::Socket;
use crate::poll::{Interest, Ready};
use crate::protocol::{CloseCause, Protocol, ProtocolKey};
use crate::tls::TlsError;
use crate::trace::Trace;

/// An outgoing connection that is not open yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(super) progress: Progress,
    /// The session, until it moves in with its protocol or goes back to it.
    session: Option<Box<dyn Any>>,
    protocol: u16,
    /// The uplink that this is an attempt of.
    uplink: Option<UplinkId>,
    pub(crate) options: ConnectOptions,
    proxy: Option<Proxy>,
    /// The server's address, for a proxy that does not resolve names.
    server: Option<IpAddr>,
    /// How many redirects brought it here.
    redirects: u8,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
pub(super) enum Progress {
    Resolving,
    Racing(Race),
    Proxy(Box<ProxyHandshake>),
    Handshake(Box<Connect>),
}

impl Connecting {
    /// What the poller should report, if this stage has a say.
    pub(crate) fn interest(&self) -> Option<Interest> {
        match self.progress {
            Progress::Resolving => Some(Interest::NONE),
            Progress::Racing(_) => Some(Interest::WRITE),
            Progress::Proxy(_) | Progress::Handshake(_) => None,
        }
    }

    /// When it must be looked at, ready or not.
    pub(crate) fn next_deadline(&self) -> Instant {
        match &self.progress {
            Progress::Racing(race) => race
                .next_deadline()
                .map_or(self.deadline, |next| next.min(self.deadline)),
            _ => self.deadline,
        }
    }

    /// The attempts that end with this connection.
    pub(crate) fn into_attempts(self) -> Vec<ConnId> {
        match self.progress {
            Progress::Racing(race) => race.into_attempts(),
            _ => Vec::new(),
        }
    }

    /// Whether the server's name is to be resolved before the proxy's.
    fn needs_server_address(&self) -> bool {
        let kind = self.proxy.as_ref().map(|proxy| proxy.kind);
        kind == Some(ProxyKind::Socks5) && self.server.is_none()
    }

    /// The host whose name is to be resolved, and its port.
    fn sought(&self) -> Option<(String, u16)> {
        match (&self.proxy, self.options.destination()) {
            (_, Destination::Unix(_)) => None,
            (Some(proxy), _) if !self.needs_server_address() => {
                Some((proxy.host.clone(), proxy.port))
            }
            (_, Destination::Tcp { host, port }) => Some((host, port)),
        }
    }

    fn error(&self, cause: ConnectCause, in_tls: bool) -> ConnectError {
        let step = match (&cause, &self.progress) {
            (ConnectCause::Setup(_), _) => Step::Prepare,
            (ConnectCause::Redirect(_), _) => Step::Redirect,
            (ConnectCause::Request(_), _) => Step::Handshake,
            (ConnectCause::Tls(_), _) => Step::Tls,
            (ConnectCause::Proxy(_), _) => Step::Proxy,
            _ if in_tls => Step::Tls,
            (_, Progress::Resolving) => Step::Resolve,
            (_, Progress::Racing(_)) => Step::Connect,
            (_, Progress::Proxy(_)) => Step::Proxy,
            (_, Progress::Handshake(_)) => Step::Handshake,
        };
        let destination = self.options.destination();
        let subject = match (step, &self.proxy, &destination) {
            (Step::Resolve, Some(Proxy { host, .. }), _) if !self.needs_server_address() => {
                format!("proxy {host}")
            }
            (Step::Connect, Some(Proxy { host, port, .. }), _) => format!("proxy {host}:{port}"),
            (Step::Proxy, Some(Proxy { host, port, .. }), _) => format!("{host}:{port}"),
            (Step::Resolve | Step::Tls, _, Destination::Tcp { host, .. }) => host.clone(),
            _ => destination.to_string(),
        };
        ConnectError {
            step,
            subject,
            cause,
        }
    }
}

impl Core {
    /// Opens a connection as a client, on the same loop. Returns at once; the protocol's `on_open`
    /// or `on_connect_error` follows. The session is the caller's until then.
    ///
    /// # Errors
    ///
    /// The URL makes no sense, the environment names a proxy that makes none, there are too many
    /// connections, or the engine is shutting down.
    pub fn connect<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        session: P::Session,
    ) -> Result<ConnId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let options = options.try_into().map_err(Into::into)?;
        self.open(key.index, options, Box::new(session), None, None)
            .map_err(|(error, _)| error)
    }

    /// As [`connect`](Self::connect), over a stream that is connected already: to the server, or to
    /// the proxy if the options choose one. Nothing is resolved, and no redirect is followed.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect), or the stream cannot be made non-blocking.
    pub fn connect_over<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        stream: TcpStream,
        session: P::Session,
    ) -> Result<ConnId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let mut options = options.try_into().map_err(Into::into)?;
        options.max_redirects = 0;
        stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true))
            .map_err(|error| Error::io("take over a connected stream", error))?;
        let socket = Socket::from_fd(stream.into());
        self.open(key.index, options, Box::new(session), None, Some(socket))
            .map_err(|(error, _)| error)
    }

    /// As [`connect`](Self::connect), for an uplink or nobody, perhaps over a socket that is
    /// connected; the session comes back with an error.
    pub(crate) fn open(
        &mut self,
        protocol: u16,
        mut options: ConnectOptions,
        session: Box<dyn Any>,
        uplink: Option<UplinkId>,
        socket: Option<Socket>,
    ) -> Result<ConnId, (Error, Box<dyn Any>)> {
        let proxy = match self.prepare(&mut options) {
            Ok(proxy) => proxy,
            Err(error) => return Err((error, session)),
        };
        if self.stopping {
            let error = Error::Config("the engine is shutting down".to_owned());
            return Err((error, session));
        }
        if self.conns.is_full() {
            let error = Error::Config("the limit of connections is reached".to_owned());
            return Err((error, session));
        }
        let timeout = options.timeout.unwrap_or(self.limits.connect_timeout);
        let now = self.now();
        let stage = Stage::Connect(Box::new(Connecting {
            progress: Progress::Resolving,
            session: Some(session),
            protocol,
            uplink,
            options,
            proxy,
            server: None,
            redirects: 0,
            deadline: now.checked_add(timeout).unwrap_or(now),
        }));
        let id = self.conns.insert(Entry::new(Link::Gone, stage));
        match socket {
            Some(socket) => self.begin_connected(id, Ok(Link::Socket(socket))),
            None => self.begin(id),
        }
        self.rearm(id);
        Ok(id)
    }

    /// Completes options with what the engine and the environment have to say.
    fn prepare(&mut self, options: &mut ConnectOptions) -> Result<Option<Proxy>, Error> {
        if options.address.is_secure() && options.tls.is_none() {
            options.tls = Some(self.default_client_tls()?);
        }
        // A network of its own has nothing to do with the environment of this process.
        if self.connector.is_some() && options.proxy == ProxyChoice::Environment {
            return Ok(None);
        }
        options.chosen_proxy(&|name| std::env::var(name).ok())
    }

    /// Sets out for where the options point to.
    fn begin(&mut self, id: ConnId) {
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        match connecting.options.destination() {
            Destination::Unix(path) => {
                let link = Socket::connect_unix(&path).map(Link::Socket);
                self.begin_connected(id, link);
            }
            Destination::Tcp { .. } => self.resolve(id),
        }
    }

    /// Finds the addresses of the next host that matters.
    fn resolve(&mut self, id: ConnId) {
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        let Some((host, port)) = connecting.sought() else {
            return;
        };
        let known = connecting.options.known_addresses(&host, port);
        if let Some(connector) = &mut self.connector {
            let link = connector.connect(&host, port).map(Link::other);
            self.begin_connected(id, link);
        } else if known.is_empty() {
            let inbox = Arc::clone(&self.inbox);
            self.resolver.resolve(&host, port, move |answer| {
                inbox.push_answer(Command::Run(Box::new(move |engine| {
                    engine.core.resolved(id, answer);
                })));
            });
        } else {
            self.resolved(id, Ok(known));
        }
    }

    fn resolved(&mut self, id: ConnId, answer: io::Result<Vec<SocketAddr>>) {
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        match answer {
            Err(error) => self.fail_connect(id, ConnectCause::Io(error)),
            Ok(addresses) if connecting.needs_server_address() => match addresses.first() {
                Some(address) => {
                    connecting.server = Some(address.ip());
                    self.resolve(id);
                }
                None => self.fail_connect(id, ConnectCause::Io(io::ErrorKind::NotFound.into())),
            },
            Ok(addresses) => {
                connecting.progress = Progress::Racing(Race::new(addresses));
                self.race(id);
            }
        }
    }

    /// Goes on with a link that is connected already.
    fn begin_connected(&mut self, id: ConnId, link: io::Result<Link>) {
        if let Some(connecting) = self.connecting(id) {
            connecting.progress = Progress::Racing(Race::new(Vec::new()));
        }
        match link.and_then(|link| self.carry(id, link, Interest::READ)) {
            Ok(()) => self.begin_session(id),
            Err(error) => self.fail_connect(id, ConnectCause::Io(error)),
        }
    }

    /// Gives a connection its link and puts that into the poller.
    pub(super) fn carry(&mut self, id: ConnId, link: Link, interest: Interest) -> io::Result<()> {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.link = link;
        }
        self.register(id, interest)
    }

    /// The socket is connected: asks the proxy to go on, or goes on.
    pub(super) fn begin_session(&mut self, id: ConnId) {
        #[cfg(feature = "uring")]
        if let Err(error) = self.hand_over(id) {
            return self.fail_connect(id, ConnectCause::Io(error));
        }
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return;
        };
        if let Some(tracer) = &connecting.options.tracer {
            if let Some(peer) = entry.link.peer_addr() {
                tracer.tell(Trace::Connected(peer));
            }
            let link = std::mem::replace(&mut entry.link, Link::Gone);
            entry.link = link.traced(tracer.clone());
        }
        let Some(proxy) = &connecting.proxy else {
            return self.secure(id);
        };
        let Destination::Tcp { host, port } = connecting.options.destination() else {
            return self.secure(id);
        };
        let host = connecting
            .server
            .map_or(host, |address| address.to_string());
        let output = entry.outbox.tail(&mut self.pool);
        match ProxyHandshake::new(proxy, &host, port, &self.limits, output) {
            Ok(machine) => {
                connecting.progress = Progress::Proxy(Box::new(machine));
                self.mark_dirty(id);
            }
            Err(error) => self.fail_connect(id, ConnectCause::Proxy(error)),
        }
    }

    /// Puts TLS on the link if asked for, then begins the handshake.
    fn secure(&mut self, id: ConnId) {
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return;
        };
        let options = &connecting.options;
        if let Some(tracer) = &options.tracer {
            tracer.tell(Trace::Opening);
        }
        if options.address.is_secure() {
            let session = match &options.tls {
                Some(tls) => tls.connect(options.address.host()),
                None => Err(TlsError::NoRoots),
            };
            match session {
                Ok(session) => {
                    let link = std::mem::replace(&mut entry.link, Link::Gone);
                    entry.link = link.secure(session);
                }
                Err(error) => return self.fail_connect(id, ConnectCause::Tls(error)),
            }
        }
        self.begin_handshake(id);
    }

    fn begin_handshake(&mut self, id: ConnId) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return;
        };
        let request = connecting.options.request(self.compression.wish);
        let output = entry.outbox.tail(&mut self.pool);
        let mut cx = Cx {
            now,
            output,
            shared: &mut self.shared,
            blocked: false,
        };
        match Connect::new(request, Arc::clone(&self.whole), &mut cx) {
            Ok(machine) => {
                let machine = machine.with_deadline(connecting.deadline);
                connecting.progress = Progress::Handshake(Box::new(machine));
                self.mark_dirty(id);
            }
            Err(misuse) => self.fail_connect(id, ConnectCause::Request(misuse)),
        }
    }

    /// The handshake is over, without success: follows a redirect, or fails.
    fn handshake_failed(&mut self, id: ConnId, error: HandshakeError) {
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        let outcome = match &error {
            HandshakeError::Refused(refusal) => connecting
                .options
                .follow(refusal, &mut connecting.redirects),
            _ => Ok(false),
        };
        match outcome {
            Ok(true) => self.begin_again(id),
            Ok(false) => self.fail_connect(id, ConnectCause::Handshake(error)),
            Err(error) => self.fail_connect(id, ConnectCause::Redirect(error)),
        }
    }

    /// Sets out anew, for another URL, until the same deadline.
    fn begin_again(&mut self, id: ConnId) {
        self.unregister(id);
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        entry.outbox.clear(&mut self.pool);
        entry.flags.blocked = false;
        entry.flags.eof = false;
        if let Some(rare) = &mut entry.rare {
            rare.stall = None;
        }
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        connecting.progress = Progress::Resolving;
        connecting.server = None;
        let mut options = connecting.options.clone();
        match self.prepare(&mut options) {
            Ok(proxy) => {
                if let Some(connecting) = self.connecting(id) {
                    connecting.options = options;
                    connecting.proxy = proxy;
                }
                self.begin(id);
            }
            Err(error) => self.fail_connect(id, ConnectCause::Setup(Box::new(error))),
        }
    }

    pub(super) fn connecting(&mut self, id: ConnId) -> Option<&mut Connecting> {
        match &mut self.conns.get_mut(id)?.stage {
            Stage::Connect(connecting) => Some(connecting),
            _ => None,
        }
    }

    pub(crate) fn is_connecting(&self, id: ConnId) -> bool {
        matches!(
            self.conns.get(id),
            Some(Entry {
                stage: Stage::Connect(_),
                ..
            })
        )
    }

    fn connect_error(&self, id: ConnId, cause: ConnectCause) -> Option<ConnectError> {
        let entry = self.conns.get(id)?;
        match &entry.stage {
            Stage::Connect(connecting) => {
                Some(connecting.error(cause, entry.link.is_handshaking()))
            }
            _ => None,
        }
    }

    /// Ends the attempt to connect, later in this turn: this may be called from a callback.
    pub(super) fn fail_connect(&mut self, id: ConnId, cause: ConnectCause) {
        if let Some(error) = self.connect_error(id, cause) {
            self.deferred.push(Deferred::ConnectFailed(id, error));
        }
    }
}

impl Engine {
    /// Handles readiness while the socket is being connected. Returns whether that was all.
    pub(crate) fn dispatch_connecting(&mut self, id: ConnId, report: Ready) -> bool {
        match self.core.connecting(id).map(|c| &c.progress) {
            Some(Progress::Racing(_)) => {
                if report.writable || report.hangup {
                    self.core.raced(id);
                }
                true
            }
            Some(Progress::Resolving) => true,
            _ => false,
        }
    }

    /// Reads what proxy or server answer. Returns whether the input goes on as WebSocket frames.
    pub(crate) fn feed_connecting(&mut self, id: ConnId, input: &mut &mut [u8]) -> bool {
        let now = self.core.now();
        let core = &mut self.core;
        let Some(entry) = core.conns.get_mut(id) else {
            return false;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return true;
        };
        let output = entry.outbox.tail(&mut core.pool);
        match &mut connecting.progress {
            Progress::Resolving | Progress::Racing(_) => false,
            Progress::Proxy(machine) => {
                match machine.receive(input, output) {
                    Ok(false) => core.mark_dirty(id),
                    Ok(true) => core.secure(id),
                    Err(error) => core.fail_connect(id, ConnectCause::Proxy(error)),
                }
                false
            }
            Progress::Handshake(machine) => {
                let mut cx = Cx {
                    now,
                    output,
                    shared: &mut core.shared,
                    blocked: false,
                };
                match machine.receive(input, &mut cx) {
                    Ok(None) => false,
                    Ok(Some(answer)) => self.connected(id, answer),
                    Err(error) => {
                        core.handshake_failed(id, error);
                        false
                    }
                }
            }
        }
    }

    fn connected(&mut self, id: ConnId, mut answer: Answer) -> bool {
        let now = self.core.now();
        let Some(connecting) = self.core.connecting(id) else {
            return false;
        };
        let protocol = connecting.protocol;
        let uplink = connecting.uplink;
        let delivery = connecting.options.delivery;
        let overflow = connecting.options.overflow;
        let Some(session) = connecting.session.take() else {
            return false;
        };
        let hosted = &mut self.protocols[usize::from(protocol)];
        let Some(index) = hosted.adopt(id, session) else {
            return false;
        };
        let outcome = compression::outcome(&mut answer);
        let wire = draft::agreed(&answer);
        let socket = self
            .core
            .websocket(Role::Client, delivery, outcome, wire, now);
        let Some(entry) = self.core.conns.get_mut(id) else {
            return false;
        };
        entry.stage = Stage::WebSocket(socket);
        entry.session = Some(SessionRef { protocol, index });
        entry.overflow = overflow;
        if answer.subprotocol.is_some() {
            entry.rare().subprotocol = answer.subprotocol.map(String::into_boxed_str);
        }
        if let Some(uplink) = uplink {
            entry.rare().uplink = Some(uplink);
            self.core.uplink_opened(uplink, id);
        }
        hosted.open(Conn::new(&mut self.core, id), index);
        if let Some(uplink) = uplink {
            self.core.drain_uplink(uplink, id);
        }
        if self.stopping.is_some() {
            self.core.close(id, CloseCode::GOING_AWAY, "");
        }
        true
    }

    pub(crate) fn connecting_end_of_stream(&mut self, id: ConnId) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        match &mut connecting.progress {
            Progress::Resolving | Progress::Racing(_) => return,
            Progress::Proxy(_) => {
                let cause = ConnectCause::Proxy(ProxyError::EndOfStream);
                self.core.fail_connect(id, cause);
            }
            Progress::Handshake(machine) => {
                let error = machine.receive_eof();
                self.core.handshake_failed(id, error);
            }
        }
        self.core.update_interest(id);
    }

    pub(crate) fn connecting_lost(&mut self, id: ConnId, cause: CloseCause) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let cause = match cause {
            CloseCause::Io(kind) => match &mut connecting.progress {
                // A refusal is one even if the end of it got lost.
                Progress::Handshake(machine) => match machine.receive_eof() {
                    error @ HandshakeError::Refused(_) => {
                        return self.core.handshake_failed(id, error);
                    }
                    _ => ConnectCause::Io(kind.into()),
                },
                _ => ConnectCause::Io(kind.into()),
            },
            CloseCause::Stalled => ConnectCause::TimedOut,
            _ => ConnectCause::Aborted,
        };
        self.connecting_failed(id, cause);
    }

    pub(crate) fn connecting_tls_failed(&mut self, id: ConnId, error: TlsError) {
        self.connecting_failed(id, ConnectCause::Tls(error));
    }

    /// A deadline has passed: that of the whole, or that of the next address.
    pub(crate) fn connecting_timeout(&mut self, id: ConnId) {
        let now = self.core.now();
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        if now < connecting.deadline {
            return self.core.race(id);
        }
        let cause = match &mut connecting.progress {
            Progress::Handshake(machine) => match machine.handle_timeout(now) {
                Some(error @ HandshakeError::Refused(_)) => ConnectCause::Handshake(error),
                _ => ConnectCause::TimedOut,
            },
            _ => ConnectCause::TimedOut,
        };
        self.connecting_failed(id, cause);
    }

    fn connecting_failed(&mut self, id: ConnId, cause: ConnectCause) {
        if let Some(error) = self.core.connect_error(id, cause) {
            self.connect_failed(id, error);
        }
    }

    /// Gives the session back with the error; the connection is gone then.
    pub(crate) fn connect_failed(&mut self, id: ConnId, error: ConnectError) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let protocol = connecting.protocol;
        let uplink = connecting.uplink;
        let session = connecting.session.take();
        self.core.kill(id);
        if let Some(session) = session {
            let hosted = &mut self.protocols[usize::from(protocol)];
            hosted.connect_error(&mut self.core, session, &error);
        }
        if let Some(uplink) = uplink {
            self.uplink_failed(uplink, error);
        }
    }
}
