//! The byte stream under a connection. All reading and writing of the engine goes through here, so
//! that a decorator (TLS) or another driver can take a socket's place.
//!
//! Knows bytes and readiness; knows nothing of protocols.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use crate::net::socket::Socket;
use crate::net::{LocalAddr, PeerAddr};
use crate::poll::{Interest, Token};
#[cfg(feature = "uring")]
use crate::ring::RingStream;
use crate::tls::TlsInfo;
use crate::tls::link::TlsLink;
use crate::tls::session::Session;
use crate::trace::{Traced, Tracer};

/// A byte stream that the engine can carry a connection over, besides its own sockets.
///
/// Non-blocking: [`io::ErrorKind::WouldBlock`] says that nothing can be done now.
pub trait Transport: fmt::Debug {
    /// Reads into `buffer`; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing has arrived; anything else ends the connection.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices` in order, as much as goes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing can be taken; anything else ends the connection.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Tells the peer that nothing more will be written.
    fn shutdown_write(&mut self);

    /// The descriptor that the poller watches. Without one, the transport is told through
    /// [`set_interest`](Self::set_interest) what the engine waits for, and whoever owns it reports
    /// readiness to [`Engine::service`](crate::Engine::service).
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What the engine waits for, for a transport without a descriptor.
    fn set_interest(&mut self, token: Token, interest: Interest) {
        let _ = (token, interest);
    }

    /// Whose stream this is.
    fn peer_addr(&self) -> PeerAddr;
}

/// A source of incoming connections, besides the engine's own listeners.
pub trait Acceptor: fmt::Debug {
    /// The next connection.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when there is none now.
    fn accept(&mut self) -> io::Result<(Box<dyn Transport>, PeerAddr)>;

    /// Where it listens, as far as that can be said.
    fn local_addr(&self) -> LocalAddr;

    /// What the engine waits for: reading, or nothing while it takes no more connections.
    fn set_interest(&mut self, token: Token, interest: Interest);
}

/// Opens outgoing connections in place of the engine's own sockets.
pub trait Connector: fmt::Debug {
    /// Opens a byte stream to a host. What is written before the peer answers must be kept for it.
    ///
    /// # Errors
    ///
    /// The connection could not be opened; [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock) has
    /// no special meaning here.
    fn connect(&mut self, host: &str, port: u16) -> io::Result<Box<dyn Transport>>;
}

#[derive(Debug)]
pub(crate) enum Link {
    Socket(Socket),
    #[cfg(feature = "uring")]
    Ring(Box<RingStream>),
    Tls(Box<TlsLink>),
    /// Boxed twice: a wide pointer here would be paid by every connection.
    Other(Box<Box<dyn Transport>>),
    Traced(Box<Traced>),
    /// The stream is gone; the slot waits to be freed at the end of the turn.
    Gone,
}

impl Link {
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.read(buffer),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.read(buffer),
            Self::Tls(link) => link.read(buffer),
            Self::Other(transport) => transport.read(buffer),
            Self::Traced(traced) => traced.read(buffer),
            Self::Gone => Ok(0),
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.write_vectored(slices),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.write_vectored(slices),
            Self::Tls(link) => link.write_vectored(slices),
            Self::Other(transport) => transport.write_vectored(slices),
            Self::Traced(traced) => traced.write_vectored(slices),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes what a decorator holds back. Returns whether all of it is written.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tls(link) => link.flush(),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.flush(),
            Self::Traced(traced) => traced.flush(),
            Self::Socket(_) | Self::Other(_) | Self::Gone => Ok(true),
        }
    }

    /// Whether a decorator holds something back.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(link) => link.wants_write(),
            #[cfg(feature = "uring")]
            Self::Ring(_) => false,
            Self::Traced(traced) => traced.link.wants_write(),
            Self::Socket(_) | Self::Other(_) | Self::Gone => false,
        }
    }

    /// Whether bytes can be read that no readiness of the socket will report.
    pub(crate) fn has_buffered_input(&self) -> bool {
        match self {
            Self::Tls(link) => link.has_plaintext(),
            #[cfg(feature = "uring")]
            Self::Ring(_) => false,
            Self::Traced(traced) => traced.link.has_buffered_input(),
            Self::Socket(_) | Self::Other(_) | Self::Gone => false,
        }
    }

    /// Whether a TLS handshake is under way, which costs more than anything else that is read.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tls(link) => link.is_handshaking(),
            #[cfg(feature = "uring")]
            Self::Ring(_) => false,
            Self::Traced(traced) => traced.link.is_handshaking(),
            Self::Socket(_) | Self::Other(_) | Self::Gone => false,
        }
    }

    /// What a TLS handshake agreed on.
    pub(crate) fn tls_info(&self) -> Option<TlsInfo> {
        match self {
            Self::Tls(link) if !link.is_handshaking() => Some(link.info()),
            Self::Traced(traced) => traced.link.tls_info(),
            _ => None,
        }
    }

    pub(crate) fn other(transport: Box<dyn Transport>) -> Self {
        Self::Other(Box::new(transport))
    }

    /// Tells somebody what goes over it from now on.
    pub(crate) fn traced(self, tracer: Tracer) -> Self {
        Self::Traced(Box::new(Traced::new(self, tracer)))
    }

    /// Puts TLS on top.
    pub(crate) fn secure(self, session: Box<dyn Session>) -> Self {
        match self {
            // Whoever watches sees what goes over TLS, not its records.
            Self::Traced(traced) => Self::Traced(Box::new(traced.map(|link| link.secure(session)))),
            link => Self::Tls(Box::new(TlsLink::new(link, session))),
        }
    }

    /// The socket, for a connection over one.
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.socket(),
            Self::Tls(link) => link.carrier().socket(),
            Self::Traced(traced) => traced.link.socket(),
            Self::Other(_) | Self::Gone => None,
        }
    }

    pub(crate) fn shutdown_write(&mut self) {
        match self {
            Self::Tls(link) => link.shutdown_write(),
            // The peer may be gone already, which the next read will tell.
            Self::Socket(socket) => drop(socket.shutdown_write()),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.shutdown_write(),
            Self::Other(transport) => transport.shutdown_write(),
            Self::Traced(traced) => traced.link.shutdown_write(),
            Self::Gone => {}
        }
    }

    /// Before a connection is dropped in order: says so to a peer that would else have to suspect
    /// that the stream was cut.
    pub(crate) fn announce_end(&mut self) {
        match self {
            Self::Tls(link) => link.announce_end(),
            #[cfg(feature = "uring")]
            Self::Ring(_) => {}
            Self::Traced(traced) => traced.link.announce_end(),
            Self::Socket(_) | Self::Other(_) | Self::Gone => {}
        }
    }

    /// Tells a transport without a descriptor what the engine waits for.
    pub(crate) fn set_interest(&mut self, token: Token, interest: Interest) {
        match self {
            Self::Other(transport) => transport.set_interest(token, interest),
            Self::Tls(link) => link.carrier_mut().set_interest(token, interest),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.set_interest(token, interest),
            Self::Traced(traced) => traced.link.set_interest(token, interest),
            Self::Socket(_) | Self::Gone => {}
        }
    }

    /// The descriptor that the poller watches, for links that have no other way to tell what they
    /// are ready for.
    pub(crate) fn polled_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            #[cfg(feature = "uring")]
            Self::Ring(_) => None,
            Self::Tls(link) => link.carrier().polled_fd(),
            Self::Traced(traced) => traced.link.polled_fd(),
            link => link.fd(),
        }
    }

    /// The descriptor under it.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.fd(),
            Self::Tls(link) => link.carrier().fd(),
            Self::Traced(traced) => traced.link.fd(),
            Self::Other(transport) => transport.fd(),
            Self::Gone => None,
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<PeerAddr> {
        match self {
            Self::Socket(socket) => socket.peer_addr().ok(),
            #[cfg(feature = "uring")]
            Self::Ring(stream) => stream.peer_addr(),
            Self::Tls(link) => link.carrier().peer_addr(),
            Self::Traced(traced) => traced.link.peer_addr(),
            Self::Other(transport) => Some(transport.peer_addr()),
            Self::Gone => None,
        }
    }
}
