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
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, getpeername, getsockname, recv, send, sendmsg, shutdown,
    socket_with, sockopt,
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

    /// The descriptor, still in non-blocking mode.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.descriptor
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
        // Of the two calls for it the shorter way to the socket.
        let received = retry_on_intr(|| recv(&self.descriptor, &mut *buffer, RecvFlags::empty()))?;
        Ok(received.0)
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use rustix::net::bind;

    use super::*;
    use crate::poll::{Interest, Poller, Portable, Registrar, Token};

    /// Waits until the socket is ready for one of `interest`.
    fn wait(socket: &Socket, interest: Interest) {
        let mut poller = Portable::new();
        poller.add(socket.as_fd(), Token(0), interest).unwrap();
        let mut ready = Vec::new();
        poller
            .wait(&mut ready, Some(Duration::from_secs(20)))
            .unwrap();
        assert!(!ready.is_empty(), "nothing happened");
    }

    fn pair() -> (Socket, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (Socket::from_fd(near.into()), far)
    }

    #[test]
    fn bytes_go_both_ways_over_tcp() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::connect_tcp(address).unwrap();
        wait(&socket, Interest::WRITE);
        socket.finish_connect().unwrap();
        assert_eq!(socket.peer_addr().unwrap(), PeerAddr::Tcp(address));
        assert!(sockopt::tcp_nodelay(&socket).unwrap());
        let (mut far, _) = listener.accept().unwrap();

        let mut buffer = [0; 16];
        let nothing = socket.read(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(socket.write_vectored(&[IoSlice::new(b"one")]).unwrap(), 3);
        let slices = [
            IoSlice::new(b"two"),
            IoSlice::new(b""),
            IoSlice::new(b"three"),
        ];
        assert_eq!(socket.write_vectored(&slices).unwrap(), 8);
        socket.shutdown_write().unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwothree");

        far.write_all(b"back").unwrap();
        wait(&socket, Interest::READ);
        assert_eq!(socket.read(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"back");
        drop(far);
        wait(&socket, Interest::READ);
        assert_eq!(socket.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn any_number_of_slices_may_be_given() {
        let (socket, mut far) = pair();
        let many = vec![IoSlice::new(b"x"); SLICES_PER_WRITE + 1];
        assert_eq!(socket.write_vectored(&many).unwrap(), SLICES_PER_WRITE);
        far.read_exact(&mut [0; SLICES_PER_WRITE]).unwrap();
        assert_eq!(socket.write_vectored(&[]).unwrap(), 0);
    }

    #[test]
    fn a_full_socket_takes_no_more() {
        let (socket, _far) = pair();
        let piece = [0; 65536];
        let error = loop {
            if let Err(error) = socket.write_vectored(&[IoSlice::new(&piece)]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn writing_to_nobody_is_an_error() {
        let (socket, far) = pair();
        drop(far);
        for slices in [
            &[IoSlice::new(b"x")][..],
            &[IoSlice::new(b"x"), IoSlice::new(b"y")],
        ] {
            let error = socket.write_vectored(slices).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn shutting_down_what_is_gone_already_is_no_error() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let socket = Socket::from_fd(near.into());
        // Unread data make the close a reset.
        socket
            .write_vectored(&[IoSlice::new(b"never read")])
            .unwrap();
        far.peek(&mut [0]).unwrap();
        drop(far);
        wait(&socket, Interest::READ);
        assert_eq!(
            socket.take_error().unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        socket.shutdown_write().unwrap();
        socket.shutdown_write().unwrap();
    }

    #[test]
    fn a_refused_connection_says_so() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let outcome = Socket::connect_tcp(address).and_then(|socket| {
            wait(&socket, Interest::WRITE);
            socket.finish_connect()
        });
        assert_eq!(
            outcome.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn a_connection_to_itself_is_refused() {
        let descriptor = open_stream(AddressFamily::INET).unwrap();
        bind(&descriptor, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let own = SocketAddr::try_from(getsockname(&descriptor).unwrap()).unwrap();
        assert!(matches!(
            connect(&descriptor, &own),
            Ok(()) | Err(Errno::INPROGRESS)
        ));
        let socket = Socket::from_fd(descriptor);
        wait(&socket, Interest::WRITE);
        assert_eq!(
            socket.peer_addr().unwrap(),
            PeerAddr::Tcp(own),
            "the kernel allows it"
        );
        let error = socket.finish_connect().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn unix_sockets_connect_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let missing = Socket::connect_unix(&path).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let socket = Socket::connect_unix(&path).unwrap();
        socket.finish_connect().unwrap();
        assert_eq!(socket.peer_addr().unwrap(), PeerAddr::Unix);
        let (mut far, _) = listener.accept().unwrap();
        socket.write_vectored(&[IoSlice::new(b"x")]).unwrap();
        far.read_exact(&mut [0]).unwrap();
        let too_long = Socket::connect_unix(Path::new(&"x".repeat(200))).unwrap_err();
        assert_eq!(Errno::from_io_error(&too_long), Some(Errno::NAMETOOLONG));
    }
}
