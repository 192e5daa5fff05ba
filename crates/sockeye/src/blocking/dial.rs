//! From a host and port, or a path, to a connected socket, before a deadline.
//!
//! Names are looked up on threads of their own, so that a resolver that takes its time holds
//! nobody beyond the deadline; addresses are tried as RFC 8305 says.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::wait::{earlier, is_due, wait, watch};
use crate::client::eyeballs::Eyeballs;
use crate::clock::Clock;
use crate::net::resolver::Resolver;
use crate::net::socket::Socket;
use crate::poll::Interest;

/// One for the process: its threads are few, whatever hangs in them.
static RESOLVER: LazyLock<Resolver> = LazyLock::new(Resolver::new);

/// The addresses of a host. `None`: the deadline has passed.
pub(super) fn resolve(
    host: &str,
    port: u16,
    deadline: Instant,
) -> io::Result<Option<Vec<SocketAddr>>> {
    let (sender, receiver) = sync_channel(1);
    RESOLVER.resolve(host, port, move |answer| {
        // Whoever asked may have given up.
        drop(sender.send(answer));
    });
    match receiver.recv_timeout(deadline.saturating_duration_since(Clock::read())) {
        Ok(answer) => answer.map(Some),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the resolver gave up")),
    }
}

/// A socket that is connected to one of the addresses. `None`: the deadline has passed.
pub(super) fn connect_tcp(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> io::Result<Option<TcpStream>> {
    let mut eyeballs = Eyeballs::new(addresses);
    let mut attempts: Vec<Socket> = Vec::new();
    loop {
        let now = Clock::read();
        while let Some(address) = eyeballs.next(now) {
            match Socket::connect_tcp(address) {
                Ok(socket) => attempts.push(socket),
                Err(error) => eyeballs.failed(error),
            }
        }
        if let Some(error) = eyeballs.exhausted() {
            return Err(error);
        }
        if is_due(Some(deadline), now) {
            return Ok(None);
        }
        let mut watched: Vec<_> = attempts
            .iter()
            .map(|socket| watch(socket.as_fd(), Interest::WRITE))
            .collect();
        wait(
            &mut watched,
            earlier(eyeballs.next_deadline(), Some(deadline)),
        )?;
        let mut decided = watched.iter().map(|one| !one.revents().is_empty());
        let decided: Vec<bool> = decided.by_ref().collect();
        for (socket, decided) in std::mem::take(&mut attempts).into_iter().zip(decided) {
            if !decided {
                attempts.push(socket);
                continue;
            }
            match socket.finish_connect() {
                Ok(()) => return finish(socket).map(Some),
                Err(error) => eyeballs.failed(error),
            }
        }
    }
}

/// In blocking mode, as the standard library makes its sockets.
fn finish(socket: Socket) -> io::Result<TcpStream> {
    let stream = TcpStream::from(socket.into_fd());
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A connected Unix socket. `None`: the deadline has passed, for the listener's queue was full.
pub(super) fn connect_unix(path: &Path, deadline: Instant) -> io::Result<Option<UnixStream>> {
    let address = SocketAddrUnix::new(path)?;
    let kind = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
    loop {
        let left = deadline.saturating_duration_since(Clock::read());
        if left.is_zero() {
            return Ok(None);
        }
        // Nothing can be polled for while the queue is full, but a connect that blocks keeps to
        // the time limit of sending.
        set_socket_timeout(&socket, Timeout::Send, Some(left))?;
        match connect(&socket, &address) {
            Ok(()) => {
                set_socket_timeout(&socket, Timeout::Send, None)?;
                return Ok(Some(socket.into()));
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
