//! A TLS session over a link: a link like any other.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use super::session::{Session, TlsInfo};
use crate::link::Link;

/// A session and the link that carries its records.
pub(crate) struct TlsLink {
    carrier: Link,
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
    pub(crate) fn new(carrier: Link, session: Box<dyn Session>) -> Self {
        Self { carrier, session }
    }

    pub(crate) fn carrier(&self) -> &Link {
        &self.carrier
    }

    pub(crate) fn carrier_mut(&mut self) -> &mut Link {
        &mut self.carrier
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.read(&mut Io(&mut self.carrier), buffer)
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session
            .write_vectored(&mut Io(&mut self.carrier), slices)
    }

    /// Returns whether all is written, down to the socket: TLS can lie on TLS.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self.session.flush(&mut Io(&mut self.carrier)) {
            Ok(()) => self.carrier.flush(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn shutdown_write(&mut self) {
        self.announce_end();
        self.carrier.shutdown_write();
    }

    /// Tells the peer that nothing more comes, so that it does not take the stream for cut off.
    pub(crate) fn announce_end(&mut self) {
        // Whoever is gone needs no farewell.
        drop(self.session.shutdown_write(&mut Io(&mut self.carrier)));
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write() || self.carrier.wants_write()
    }

    pub(crate) fn has_plaintext(&self) -> bool {
        self.session.has_plaintext() || self.carrier.has_buffered_input()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn info(&self) -> TlsInfo {
        self.session.info()
    }
}

struct Io<'s>(&'s mut Link);

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
