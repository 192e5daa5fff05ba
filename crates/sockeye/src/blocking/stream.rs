//! The streams that a blocking WebSocket can be over.
//!
//! Knows bytes and descriptors, nothing of protocols. Invariant: what has a descriptor never
//! blocks in a call of [`TimedStream`]; all waiting is done on the descriptor, with a deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags, getpeername, recv, send};

use super::tls::TlsStream;
use super::wait::{wait, watch};
use crate::net::PeerAddr;
use crate::poll::Interest;
use crate::protocol::Peer;

/// A byte stream that can be waited for with a time limit: a socket, or something over one.
///
/// Whether a socket is in blocking mode does not matter; its mode and its own timeouts are neither
/// used nor changed. Anything else that reads and writes takes part as [`Untimed`].
pub trait TimedStream {
    /// Reads what is there; `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is there now; anything else ends the connection.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as goes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing goes now; anything else means that nothing will go any more.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands on what the stream itself holds back of what was written.
    ///
    /// # Errors
    ///
    /// As for [`try_write`](Self::try_write).
    fn try_flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Tells the peer that nothing more will be written.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// What to wait on after a `WouldBlock`. Without one, nothing is waited for.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether it would help to wait until the descriptor is writable; `pending` says whether
    /// there is something to write.
    fn wants_write(&self, pending: bool) -> bool {
        pending
    }

    /// Whether something can be read that the descriptor does not tell of.
    fn has_input(&self) -> bool {
        false
    }

    /// Whether a TLS handshake is under way.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Who is at the other end.
    ///
    /// # Errors
    ///
    /// The peer is gone already.
    fn peer(&self) -> io::Result<Peer>;
}

fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, len) = retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::DONTWAIT))?;
    Ok(len)
}

fn transmit(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(retry_on_intr(|| send(socket, bytes, flags))?)
}

fn shut(result: io::Result<()>) -> io::Result<()> {
    match result {
        // A connection that is gone needs no farewell.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        outcome => outcome,
    }
}

fn peer(socket: &impl AsFd) -> io::Result<Peer> {
    Ok(Peer::new(PeerAddr::from_any(getpeername(socket)?), None))
}

macro_rules! socket {
    ($socket:ty) => {
        impl TimedStream for $socket {
            fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                receive(self, buffer)
            }

            fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                transmit(self, bytes)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                shut(self.shutdown(std::net::Shutdown::Write))
            }

            fn fd(&self) -> Option<BorrowedFd<'_>> {
                Some(self.as_fd())
            }

            fn peer(&self) -> io::Result<Peer> {
                peer(self)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// Any stream that reads and writes, without time limits.
///
/// What holds: everything but time. A call waits as long as the stream does; deadlines (for the
/// handshake, keepalive, closing, [`recv_timeout`](super::WebSocket::recv_timeout)) are looked at
/// only when the stream returns. A stream that gives up by itself, with `WouldBlock` or `TimedOut`,
/// makes the call end with [`Error::TimedOut`](super::Error::TimedOut) and can go on later. The end
/// of the sending direction shows only when the stream is dropped, and the peer counts as a process
/// of this machine ([`PeerAddr::Unix`]).
#[derive(Debug)]
pub struct Untimed<S>(pub S);

impl<S> Untimed<S> {
    fn would_block(error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::TimedOut => io::ErrorKind::WouldBlock.into(),
            _ => error,
        }
    }
}

impl<S: Read + Write> TimedStream for Untimed<S> {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(Self::would_block)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(Self::would_block)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(Self::would_block)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.try_flush()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn peer(&self) -> io::Result<Peer> {
        Ok(Peer::new(PeerAddr::Unix, None))
    }
}

/// What [`connect`](super::connect()) and [`serve`](super::serve()) make connections over.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over another one.
    Tls(Box<TlsStream<Self>>),
}

impl Stream {
    fn inner(&self) -> &dyn TimedStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream.as_ref(),
        }
    }

    fn inner_mut(&mut self) -> &mut dyn TimedStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }
}

impl TimedStream for Stream {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner_mut().try_read(buffer)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner_mut().try_write(bytes)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.inner_mut().try_flush()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.inner_mut().shutdown_write()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner().fd()
    }

    fn wants_write(&self, pending: bool) -> bool {
        self.inner().wants_write(pending)
    }

    fn has_input(&self) -> bool {
        self.inner().has_input()
    }

    fn is_handshaking(&self) -> bool {
        self.inner().is_handshaking()
    }

    fn peer(&self) -> io::Result<Peer> {
        self.inner().peer()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read(self, buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        flush(self)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TlsStream<Self>> for Stream {
    fn from(stream: TlsStream<Self>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

/// Reads as [`Read`] does: waits without end.
pub(super) fn read(stream: &mut impl TimedStream, buffer: &mut [u8]) -> io::Result<usize> {
    patiently(stream, Interest::READ, |stream| stream.try_read(buffer))
}

/// Writes as [`Write`] does: waits without end.
pub(super) fn write(stream: &mut impl TimedStream, bytes: &[u8]) -> io::Result<usize> {
    patiently(stream, Interest::WRITE, |stream| stream.try_write(bytes))
}

/// Flushes as [`Write`] does: waits without end.
pub(super) fn flush(stream: &mut impl TimedStream) -> io::Result<()> {
    patiently(stream, Interest::WRITE, |stream| stream.try_flush())
}

/// Does something as soon as it can be done.
fn patiently<S: TimedStream, T>(
    stream: &mut S,
    interest: Interest,
    mut attempt: impl FnMut(&mut S) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stream.has_input() && interest.readable {
                    continue;
                }
                let interest = Interest {
                    // A TLS handshake needs both directions, whatever is to be done.
                    readable: interest.readable || stream.is_handshaking(),
                    writable: stream.wants_write(interest.writable),
                };
                let Some(descriptor) = stream.fd() else {
                    return Err(error);
                };
                wait(&mut [watch(descriptor, interest)], None)?;
            }
            outcome => return outcome,
        }
    }
}
