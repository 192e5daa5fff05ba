//! A connected or connecting stream socket that never blocks.
//!
//! One system call a method; what would block is [`io::ErrorKind::WouldBlock`]. Writing to a
//! socket whose other side is gone is an error, never a `SIGPIPE`.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType, connect, getpeername, getsockname, send, sendmsg, shutdown, socket_with, sockopt,
};

use super::PeerAddr;

/// As many as one `sendmsg` takes (`IOV_MAX`); more are an error.
const SLICES_PER_WRITE: usize = 1024;

#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
}

impl Socket {
    /// The descriptor must be a stream socket in non-blocking mode.
    pub(crate) fn from_fd(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }

    /// Begins to connect. The socket becomes writable when it is decided:
    /// [`finish_connect`](Self::finish_connect) says how.
    pub(crate) fn connect_tcp(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let descriptor = open_stream(family)?;
        sockopt::set_tcp_nodelay(&descriptor, true)?;
        match connect(&descriptor, &address) {
            // An interrupted connect goes on in the background.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self { descriptor }),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Connects to a Unix socket. That is decided at once; `WouldBlock` says that the listener's
    /// queue is full, and that there is nothing to wait on: try again later.
    pub(crate) fn connect_unix(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let descriptor = open_stream(AddressFamily::UNIX)?;
        retry_on_intr(|| connect(&descriptor, &address))?;
        Ok(Self { descriptor })
    }

    /// Whether the connection that was begun came about. To be asked once it is writable.
    pub(crate) fn finish_connect(&self) -> io::Result<()> {
        self.take_error()?;
        let peer = getpeername(&self.descriptor)?;
        // A connection to a free local port can meet itself, if the system picks that very port
        // for this end: nobody listens there.
        let is_own = peer.is_some_and(|peer| {
            peer.address_family() != AddressFamily::UNIX
                && getsockname(&self.descriptor).is_ok_and(|own| own == peer)
        });
        if is_own {
            Err(Errno::CONNREFUSED.into())
        } else {
            Ok(())
        }
    }

    /// Takes the error that is pending on the socket, if one is.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        sockopt::socket_error(&self.descriptor)?.map_err(Into::into)
    }

    /// Reads what is there; 0 is the end of the stream (or an empty buffer).
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| {
            rustix::io::read(&self.descriptor, &mut *buffer)
        })?)
    }

    /// Writes as much as the kernel takes now; of more than 1024 slices, from the first 1024.
    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match slices {
            // The most frequent case is also the cheapest for the kernel in this form.
            [slice] => retry_on_intr(|| send(&self.descriptor, slice, SendFlags::NOSIGNAL)),
            _ => {
                let slices = &slices[..slices.len().min(SLICES_PER_WRITE)];
                retry_on_intr(|| {
                    let mut no_control = SendAncillaryBuffer::default();
                    sendmsg(
                        &self.descriptor,
                        slices,
                        &mut no_control,
                        SendFlags::NOSIGNAL,
                    )
                })
            }
        };
        Ok(written?)
    }

    /// Says that nothing more will be written; the other side reads the end of the stream after
    /// what was written before. A connection that is gone already counts as success.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match shutdown(&self.descriptor, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<PeerAddr> {
        Ok(PeerAddr::from_any(getpeername(&self.descriptor)?))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A new stream socket, non-blocking and closed on exec.
pub(super) fn open_stream(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}
