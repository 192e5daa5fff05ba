//! The connect stage: from a URL to an open WebSocket.
//!
//! ```text
//! resolve ──▶ connect one address after the other ──▶ handshake ──▶ WebSocket
//! ```
//! One deadline spans all of it. A failure gives the session back to its protocol.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::{Answer, Connect, ConnectRequest};
use sockeye_proto::ws::{Role, WebSocket};
use sockeye_proto::{CloseCode, Cx};

use crate::client::{ConnectCause, ConnectError, ConnectOptions, Destination, Step};
use crate::conn::Conn;
use crate::core::{Core, Deferred};
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

/// An outgoing connection that is not open yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    progress: Progress,
    /// The session, until it moves in with its protocol or goes back to it.
    session: Option<Box<dyn Any>>,
    protocol: u16,
    options: ConnectOptions,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
enum Progress {
    Resolving,
    /// The socket is being connected; these addresses are left to try.
    Connecting {
        addresses: std::vec::IntoIter<SocketAddr>,
    },
    Handshake(Box<Connect>),
}

impl Connecting {
    /// What the poller should report, if this stage has a say.
    pub(crate) fn interest(&self) -> Option<Interest> {
        match self.progress {
            Progress::Resolving => Some(Interest::NONE),
            Progress::Connecting { .. } => Some(Interest::WRITE),
            Progress::Handshake(_) => None,
        }
    }

    fn error(&self, cause: ConnectCause) -> ConnectError {
        let step = match self.progress {
            _ if matches!(cause, ConnectCause::Tls(_)) => Step::Tls,
            Progress::Resolving => Step::Resolve,
            Progress::Connecting { .. } => Step::Connect,
            Progress::Handshake(_) => Step::Handshake,
        };
        ConnectError {
            step,
            subject: self.options.destination.to_string(),
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
    /// The URL makes no sense, there are too many connections, or the engine is shutting down.
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
        let mut options: ConnectOptions = options.try_into().map_err(Into::into)?;
        if self.stopping {
            return Err(Error::Config("the engine is shutting down".to_owned()));
        }
        if options.secure && options.tls.is_none() {
            options.tls = Some(self.default_client_tls()?);
        }
        if self.conns.is_full() {
            return Err(Error::Config(
                "the limit of connections is reached".to_owned(),
            ));
        }
        let timeout = options.timeout.unwrap_or(self.limits.connect_timeout);
        let deadline = self
            .now()
            .checked_add(timeout)
            .unwrap_or_else(|| self.now());
        let destination = options.destination.clone();
        let stage = Stage::Connect(Box::new(Connecting {
            progress: Progress::Resolving,
            session: Some(Box::new(session)),
            protocol: key.index,
            options,
            deadline,
        }));
        let id = self.conns.insert(Entry::new(Link::Gone, stage));
        self.rearm(id);
        match destination {
            Destination::Unix(path) => {
                let link = Socket::connect_unix(&path).map(Link::Socket);
                self.begin_connected(id, link);
            }
            Destination::Tcp { host, port } if self.connector.is_some() => {
                if let Some(connector) = &mut self.connector {
                    let link = connector.connect(&host, port).map(Link::Other);
                    self.begin_connected(id, link);
                }
            }
            Destination::Tcp { host, port } => {
                let inbox = Arc::clone(&self.inbox);
                self.resolver.resolve(&host, port, move |answer| {
                    inbox.push_answer(Command::Run(Box::new(move |engine| {
                        engine.core.resolved(id, answer);
                    })));
                });
            }
        }
        Ok(id)
    }

    /// Goes on with a link that is connected already.
    fn begin_connected(&mut self, id: ConnId, link: io::Result<Link>) {
        let secure = self.connecting(id).is_some_and(|c| c.options.secure);
        let link = match secure {
            true => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TLS goes over the engine's own sockets only",
            )),
            false => link,
        };
        let carried = link.and_then(|link| self.carry(id, link, Interest::READ));
        if let Some(connecting) = self.connecting(id) {
            connecting.progress = Progress::Connecting {
                addresses: Vec::new().into_iter(),
            };
        }
        match carried {
            Ok(()) => self.begin_handshake(id),
            Err(error) => self.fail_connect(id, ConnectCause::Io(error)),
        }
    }

    fn connecting(&mut self, id: ConnId) -> Option<&mut Connecting> {
        match &mut self.conns.get_mut(id)?.stage {
            Stage::Connect(connecting) => Some(connecting),
            _ => None,
        }
    }

    fn resolved(&mut self, id: ConnId, answer: io::Result<Vec<SocketAddr>>) {
        let Some(connecting) = self.connecting(id) else {
            return;
        };
        match answer {
            Ok(addresses) => {
                connecting.progress = Progress::Connecting {
                    addresses: addresses.into_iter(),
                };
                let nowhere = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                self.try_next(id, nowhere);
            }
            Err(error) => self.fail_connect(id, ConnectCause::Io(error)),
        }
    }

    /// Begins to connect to the next address; when there is none, fails with the error of the last.
    fn try_next(&mut self, id: ConnId, mut error: io::Error) {
        loop {
            let Some(Connecting {
                progress: Progress::Connecting { addresses },
                ..
            }) = self.connecting(id)
            else {
                return;
            };
            let Some(address) = addresses.next() else {
                return self.fail_connect(id, ConnectCause::Io(error));
            };
            let begun = Socket::connect_tcp(address)
                .and_then(|socket| self.carry(id, Link::Socket(socket), Interest::WRITE));
            match begun {
                Ok(()) => return,
                Err(failed) => error = failed,
            }
        }
    }

    /// Gives a connection its link and puts that into the poller.
    fn carry(&mut self, id: ConnId, link: Link, interest: Interest) -> io::Result<()> {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.link = link;
        }
        self.register(id, interest)
    }

    /// The socket is connected: puts TLS on it if asked for, then begins the handshake.
    fn begin_session(&mut self, id: ConnId) {
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return;
        };
        let options = &connecting.options;
        if options.secure {
            let session = match (&options.tls, &options.destination) {
                (Some(tls), Destination::Tcp { host, .. }) => tls.connect(host),
                _ => Err(TlsError::NoRoots),
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

    pub(crate) fn is_connecting(&self, id: ConnId) -> bool {
        matches!(
            self.conns.get(id),
            Some(Entry {
                stage: Stage::Connect(_),
                ..
            })
        )
    }

    fn begin_handshake(&mut self, id: ConnId) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return;
        };
        let options = &connecting.options;
        let request = ConnectRequest {
            host: options.host.clone(),
            target: options.target.clone(),
            origin: options.origin.clone(),
            subprotocols: options.subprotocols.clone(),
            headers: options.headers.clone(),
        };
        let output = entry.outbox.tail(&mut self.pool);
        let mut cx = Cx {
            now,
            output,
            shared: &mut self.shared,
            blocked: false,
        };
        match Connect::new(request, Arc::clone(&self.whole), &mut cx) {
            Ok(machine) => {
                connecting.progress = Progress::Handshake(Box::new(machine));
                self.mark_dirty(id);
            }
            Err(misuse) => self.fail_connect(id, ConnectCause::Request(misuse)),
        }
    }

    fn fail_connect(&mut self, id: ConnId, cause: ConnectCause) {
        if let Some(connecting) = self.connecting(id) {
            let error = connecting.error(cause);
            self.deferred.push(Deferred::ConnectFailed(id, error));
        }
    }
}

impl Engine {
    /// Handles readiness while the socket is being connected. Returns whether that was all.
    pub(crate) fn dispatch_connecting(&mut self, id: ConnId, report: Ready) -> bool {
        let core = &mut self.core;
        match core.connecting(id) {
            Some(Connecting {
                progress: Progress::Connecting { .. },
                ..
            }) => {}
            Some(Connecting {
                progress: Progress::Resolving,
                ..
            }) => return true,
            _ => return false,
        }
        if !(report.writable || report.hangup) {
            return true;
        }
        let finished = match core.conns.get(id).map(|entry| &entry.link) {
            Some(link) => link.socket().map_or(Ok(()), Socket::finish_connect),
            None => Ok(()),
        };
        match finished {
            Ok(()) => core.begin_session(id),
            Err(error) => {
                core.unregister(id);
                core.try_next(id, error);
            }
        }
        true
    }

    /// Reads the answer to the handshake. Returns whether the input goes on as WebSocket frames.
    pub(crate) fn feed_connecting(&mut self, id: ConnId, input: &mut &mut [u8]) -> bool {
        let now = self.core.now();
        let Some(entry) = self.core.conns.get_mut(id) else {
            return false;
        };
        let Stage::Connect(connecting) = &mut entry.stage else {
            return true;
        };
        let Progress::Handshake(machine) = &mut connecting.progress else {
            return false;
        };
        let output = entry.outbox.tail(&mut self.core.pool);
        let mut cx = Cx {
            now,
            output,
            shared: &mut self.core.shared,
            blocked: false,
        };
        match machine.receive(input, &mut cx) {
            Ok(None) => false,
            Ok(Some(answer)) => self.connected(id, answer),
            Err(error) => {
                self.core.fail_connect(id, ConnectCause::Handshake(error));
                false
            }
        }
    }

    fn connected(&mut self, id: ConnId, answer: Answer) -> bool {
        let now = self.core.now();
        let Some(connecting) = self.core.connecting(id) else {
            return false;
        };
        let protocol = connecting.protocol;
        let delivery = connecting.options.delivery;
        let overflow = connecting.options.overflow;
        let Some(session) = connecting.session.take() else {
            return false;
        };
        let hosted = &mut self.protocols[usize::from(protocol)];
        let Some(index) = hosted.adopt(id, session) else {
            return false;
        };
        let config = self.core.config(delivery);
        let Some(entry) = self.core.conns.get_mut(id) else {
            return false;
        };
        entry.stage = Stage::WebSocket(WebSocket::new(Role::Client, config, now));
        entry.session = Some(SessionRef { protocol, index });
        entry.overflow = overflow;
        if answer.subprotocol.is_some() {
            entry.rare().subprotocol = answer.subprotocol.map(String::into_boxed_str);
        }
        hosted.open(Conn::new(&mut self.core, id), index);
        if self.stopping.is_some() {
            self.core.close(id, CloseCode::GOING_AWAY, "");
        }
        true
    }

    pub(crate) fn connecting_end_of_stream(&mut self, id: ConnId) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let Progress::Handshake(machine) = &mut connecting.progress else {
            return;
        };
        let error = machine.receive_eof();
        self.core.fail_connect(id, ConnectCause::Handshake(error));
        self.core.update_interest(id);
    }

    pub(crate) fn connecting_lost(&mut self, id: ConnId, cause: CloseCause) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let cause = match cause {
            CloseCause::Io(kind) => ConnectCause::Io(kind.into()),
            CloseCause::Stalled => ConnectCause::TimedOut,
            _ => ConnectCause::Aborted,
        };
        let error = connecting.error(cause);
        self.connect_failed(id, &error);
    }

    pub(crate) fn connecting_tls_failed(&mut self, id: ConnId, error: TlsError) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let error = connecting.error(ConnectCause::Tls(error));
        self.connect_failed(id, &error);
    }

    pub(crate) fn connecting_timeout(&mut self, id: ConnId) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let error = connecting.error(ConnectCause::TimedOut);
        self.connect_failed(id, &error);
    }

    /// Gives the session back with the error; the connection is gone then.
    pub(crate) fn connect_failed(&mut self, id: ConnId, error: &ConnectError) {
        let Some(connecting) = self.core.connecting(id) else {
            return;
        };
        let protocol = connecting.protocol;
        let session = connecting.session.take();
        self.core.kill(id);
        if let Some(session) = session {
            let hosted = &mut self.protocols[usize::from(protocol)];
            hosted.connect_error(&mut self.core, session, error);
        }
    }
}
