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

#[derive(Debug)]
pub(crate) enum Link {
    Socket(Socket),
    Other(Box<dyn Transport>),
    /// The stream is gone; the slot waits to be freed at the end of the turn.
    Gone,
}

impl Link {
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.read(buffer),
            Self::Other(transport) => transport.read(buffer),
            Self::Gone => Ok(0),
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.write_vectored(slices),
            Self::Other(transport) => transport.write_vectored(slices),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(crate) fn shutdown_write(&mut self) {
        match self {
            // The peer may be gone already, which the next read will tell.
            Self::Socket(socket) => drop(socket.shutdown_write()),
            Self::Other(transport) => transport.shutdown_write(),
            Self::Gone => {}
        }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Other(transport) => transport.fd(),
            Self::Gone => None,
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<PeerAddr> {
        match self {
            Self::Socket(socket) => socket.peer_addr().ok(),
            Self::Other(transport) => Some(transport.peer_addr()),
            Self::Gone => None,
        }
    }
}
