//! A TLS session over a socket: a link like any other.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use super::session::{Session, TlsInfo};
use crate::net::socket::Socket;

/// Socket and session together.
pub(crate) struct TlsLink {
    socket: Socket,
    session: Box<dyn Session>,
}

impl fmt::Debug for TlsLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLink")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl TlsLink {
    pub(crate) fn new(socket: Socket, session: Box<dyn Session>) -> Self {
        Self { socket, session }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.read(&mut Io(&self.socket), buffer)
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.write_vectored(&mut Io(&self.socket), slices)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.session.flush(&mut Io(&self.socket))
    }

    pub(crate) fn shutdown_write(&mut self) {
        // Whoever is gone needs no farewell.
        drop(self.session.shutdown_write(&mut Io(&self.socket)));
        drop(self.socket.shutdown_write());
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    pub(crate) fn has_plaintext(&self) -> bool {
        self.session.has_plaintext()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn info(&self) -> TlsInfo {
        self.session.info()
    }
}

struct Io<'s>(&'s Socket);

impl Read for Io<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Io<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
