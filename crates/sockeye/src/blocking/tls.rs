//! TLS over any stream.
//!
//! Knows a session and a stream, and lends the one the other; what a record is, is the backend's
//! business. Invariant: no plaintext is lost when writing has to drive the handshake.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::stream::{self, TimedStream};
use crate::protocol::Peer;
use crate::tls::session::Session;
use crate::tls::{ClientTls, ServerTls, TlsError, TlsInfo};

/// A TLS connection over another stream.
///
/// The handshake is driven by whatever is read or written first, within the deadline of that:
/// [`accept`](super::accept()) and [`handshake`](super::handshake()) include it in theirs.
/// [`Read`] and [`Write`] wait without end.
///
/// An end of the stream that the peer did not announce is an error that holds
/// [`TlsError::Truncated`]; every other TLS failure is an [`io::Error`] that holds a [`TlsError`],
/// too.
#[derive(Debug)]
pub struct TlsStream<S> {
    stream: S,
    session: Box<dyn Session>,
    /// The first byte of the peer's, if it came while writing drove the handshake.
    early: Option<u8>,
}

impl<S: TimedStream> TlsStream<S> {
    /// As a client, with the server of this name or literal address. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// It is no name that a certificate could be for.
    pub fn connect(stream: S, server: &str, tls: &ClientTls) -> Result<Self, TlsError> {
        Ok(Self::new(stream, tls.connect(server)?))
    }

    /// As a server. Nothing is read yet.
    ///
    /// # Errors
    ///
    /// The backend cannot make a session.
    pub fn accept(stream: S, tls: &ServerTls) -> Result<Self, TlsError> {
        Ok(Self::new(stream, tls.accept()?))
    }

    fn new(stream: S, session: Box<dyn Session>) -> Self {
        Self {
            stream,
            session,
            early: None,
        }
    }

    /// What was agreed on, once the handshake is over.
    pub fn info(&self) -> Option<TlsInfo> {
        (!self.session.is_handshaking()).then(|| self.session.info())
    }

    /// The stream below. What is read from it or written to it by hand is missing in the session.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The handshake needs what the peer sends, though nobody reads.
    fn drive_handshake(&mut self) -> io::Result<()> {
        let mut byte = [0];
        match self.session.read(&mut Io(&mut self.stream), &mut byte) {
            Ok(0) => Err(TlsError::Truncated.into_io()),
            Ok(_) => {
                self.early = Some(byte[0]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<S: TimedStream> TimedStream for TlsStream<S> {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let (Some(early), Some(first)) = (self.early, buffer.first_mut()) {
            *first = early;
            self.early = None;
            return Ok(1);
        }
        self.session.read(&mut Io(&mut self.stream), buffer)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let attempt = |session: &mut dyn Session, stream: &mut S| {
            session.write_vectored(&mut Io(stream), &[IoSlice::new(bytes)])
        };
        match attempt(self.session.as_mut(), &mut self.stream) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && self.session.is_handshaking()
                    && self.early.is_none() =>
            {
                self.drive_handshake()?;
                attempt(self.session.as_mut(), &mut self.stream)
            }
            outcome => outcome,
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.session.flush(&mut Io(&mut self.stream))?;
        self.stream.try_flush()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self.session.shutdown_write(&mut Io(&mut self.stream)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => self.stream.shutdown_write(),
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.fd()
    }

    fn wants_write(&self, pending: bool) -> bool {
        let waits = self.session.wants_write() || (pending && !self.session.is_handshaking());
        self.stream.wants_write(waits)
    }

    fn has_input(&self) -> bool {
        self.early.is_some() || self.session.has_plaintext() || self.stream.has_input()
    }

    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking() || self.stream.is_handshaking()
    }

    fn peer(&self) -> io::Result<Peer> {
        Ok(Peer::new(*self.stream.peer()?.addr(), self.info()))
    }
}

impl<S: AsFd> AsFd for TlsStream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: TimedStream> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        stream::read(self, buffer)
    }
}

impl<S: TimedStream> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stream::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        stream::flush(self)
    }
}

/// A stream as a session wants it.
struct Io<'s, S>(&'s mut S);

impl<S: TimedStream> Read for Io<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl<S: TimedStream> Write for Io<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.try_flush()
    }
}
