//! A listening socket, and the classification of what can go wrong while accepting.
//!
//! One system call per accepted connection: it comes non-blocking, closed on exec, with the
//! address of its peer, and inherits `TCP_NODELAY` from the listener.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};
use std::process;
use std::sync::Arc;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, acceptfrom_with, bind, getsockname, listen, sockopt,
};

use super::bind::Bind;
use super::socket::{Socket, open_stream};
use super::{LocalAddr, NetError, Operation, PeerAddr};

#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenOptions {
    /// Several processes may listen on the same port, and the kernel spreads connections
    /// (`SO_REUSEPORT`). All of them must ask for it. Nothing for Unix sockets.
    pub(crate) reuse_port: bool,
    /// The same for this process alone, once the address is bound.
    pub(crate) twins: bool,
    /// Connections that may wait to be accepted; the system's `somaxconn` caps it.
    pub(crate) backlog: i32,
    /// Permissions of a Unix socket; clients need the right to write. `None`: what the umask
    /// leaves.
    pub(crate) unix_mode: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            reuse_port: false,
            twins: false,
            backlog: 4096,
            unix_mode: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Listener {
    descriptor: OwnedFd,
    local: LocalAddr,
    /// Removes the file of a Unix socket, once all that share it are closed.
    file: Option<Arc<SocketFile>>,
}

/// What another listener on the same address needs.
#[derive(Debug)]
pub(crate) enum Twin {
    Tcp { addr: SocketAddr, dual_stack: bool },
    Unix(Listener),
}

impl Twin {
    /// Listens beside the first one. TCP has a queue for each, Unix sockets one for all.
    pub(crate) fn listen(&self, options: &ListenOptions) -> Result<Listener, NetError> {
        match self {
            Self::Tcp { addr, dual_stack } => {
                let options = ListenOptions {
                    reuse_port: true,
                    ..*options
                };
                Listener::bind_tcp(*addr, *dual_stack, &options)
            }
            Self::Unix(listener) => listener.share(),
        }
    }
}

impl Listener {
    /// Listens as [`bind`](Self::bind) does, and lets others of this process join in.
    pub(crate) fn bind_first(
        target: &Bind,
        options: &ListenOptions,
    ) -> Result<(Self, Twin), NetError> {
        let options = ListenOptions {
            twins: true,
            ..*options
        };
        let listener = Self::bind(target, &options)?;
        let twin = match &listener.local {
            LocalAddr::Tcp(addr) => Twin::Tcp {
                addr: *addr,
                dual_stack: matches!(target, Bind::AnyAddress { .. }),
            },
            LocalAddr::Unix(_) => Twin::Unix(listener.share()?),
        };
        Ok((listener, twin))
    }

    /// The same socket once more.
    fn share(&self) -> Result<Self, NetError> {
        let descriptor = self
            .descriptor
            .try_clone()
            .map_err(|error| NetError::new(Operation::Listen, &self.local, error))?;
        Ok(Self {
            descriptor,
            local: self.local.clone(),
            file: self.file.clone(),
        })
    }

    /// Listens on the first address of `target` that can be had.
    pub(crate) fn bind(target: &Bind, options: &ListenOptions) -> Result<Self, NetError> {
        if let Bind::Unix(path) = target {
            return Self::bind_unix(path, options);
        }
        let mut failure = None;
        for address in target.addresses()? {
            let dual_stack = matches!(target, Bind::AnyAddress { .. });
            match Self::bind_tcp(address, dual_stack, options) {
                Ok(listener) => return Ok(listener),
                // For `:80` the IPv4 address is for machines without IPv6, not for ports that
                // are taken.
                Err(error) if dual_stack && address.is_ipv6() && !lacks_ipv6(&error) => {
                    return Err(error);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            NetError::new(Operation::Resolve, target, none)
        }))
    }

    fn bind_tcp(
        address: SocketAddr,
        dual_stack: bool,
        options: &ListenOptions,
    ) -> Result<Self, NetError> {
        let prepare = || -> rustix::io::Result<OwnedFd> {
            let is_ipv6 = address.is_ipv6();
            let family = if is_ipv6 {
                AddressFamily::INET6
            } else {
                AddressFamily::INET
            };
            let descriptor = open_stream(family)?;
            // A restart must not wait for old connections to fade.
            sockopt::set_socket_reuseaddr(&descriptor, true)?;
            if options.reuse_port {
                sockopt::set_socket_reuseport(&descriptor, true)?;
            }
            if is_ipv6 {
                sockopt::set_ipv6_v6only(&descriptor, !dual_stack)?;
            }
            sockopt::set_tcp_nodelay(&descriptor, true)?;
            bind(&descriptor, &address)?;
            if options.twins && !options.reuse_port {
                // Not before: who is there already, and who else wants to be, is found out as ever.
                sockopt::set_socket_reuseport(&descriptor, true)?;
            }
            Ok(descriptor)
        };
        let descriptor =
            prepare().map_err(|errno| NetError::new(Operation::Bind, address, errno))?;
        let start = || -> rustix::io::Result<SocketAddr> {
            listen(&descriptor, options.backlog)?;
            SocketAddr::try_from(getsockname(&descriptor)?)
        };
        let local = start().map_err(|errno| NetError::new(Operation::Listen, address, errno))?;
        Ok(Self {
            descriptor,
            local: LocalAddr::Tcp(local),
            file: None,
        })
    }

    fn bind_unix(path: &Path, options: &ListenOptions) -> Result<Self, NetError> {
        let local = LocalAddr::Unix(path.to_owned());
        let failed = |operation, error: io::Error| NetError::new(operation, &local, error);
        let create = || -> io::Result<(OwnedFd, SocketFile)> {
            let address = SocketAddrUnix::new(path)?;
            let descriptor = open_stream(AddressFamily::UNIX)?;
            match bind(&descriptor, &address) {
                Err(Errno::ADDRINUSE) if is_stale(path)? => {
                    fs::remove_file(path)?;
                    bind(&descriptor, &address)?;
                }
                bound => bound?,
            }
            let file = SocketFile::of(path)?;
            if let Some(mode) = options.unix_mode {
                // Nobody can connect before `listen`, so there is no moment of wrong rights.
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            Ok((descriptor, file))
        };
        let (descriptor, file) = create().map_err(|error| failed(Operation::Bind, error))?;
        listen(&descriptor, options.backlog)
            .map_err(|errno| failed(Operation::Listen, errno.into()))?;
        Ok(Self {
            descriptor,
            local,
            file: Some(Arc::new(file)),
        })
    }

    pub(crate) fn local_addr(&self) -> &LocalAddr {
        &self.local
    }

    /// Takes the next connection; `WouldBlock` if none waits. For other errors see
    /// [`AcceptFailure`].
    pub(crate) fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (descriptor, address) = retry_on_intr(|| acceptfrom_with(&self.descriptor, flags))?;
        Ok((Socket::from_fd(descriptor), PeerAddr::from_any(address)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// What an error of [`Listener::accept`] means for the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFailure {
    /// Nobody waits any more.
    Empty,
    /// That one connection failed before it was accepted; go on with the next.
    Connection,
    /// Out of descriptors or memory: the connection is still in the queue, and accepting again at
    /// once would spin.
    Exhausted,
    /// The listener itself is broken.
    Listener,
}

impl AcceptFailure {
    pub(crate) fn of(error: &io::Error) -> Self {
        // An acceptor that is no socket makes its errors without the system's numbers.
        match error.kind() {
            io::ErrorKind::WouldBlock => return Self::Empty,
            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {
                return Self::Connection;
            }
            _ => {}
        }
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Exhausted,
            // Linux hands on network errors of the new connection, see accept(2).
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::TIMEDOUT,
            ) => Self::Connection,
            _ => Self::Listener,
        }
    }
}

fn lacks_ipv6(error: &NetError) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// Whether at `path` is a socket that nobody listens on.
fn is_stale(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is there already",
        ));
    }
    match Socket::connect_unix(path) {
        Err(error) => Ok(error.kind() == io::ErrorKind::ConnectionRefused),
        Ok(_) => Ok(false),
    }
}

/// The file of a bound Unix socket, removed on drop: by the process that bound it, not by
/// children that inherited it, and only while it is the same file.
#[derive(Debug)]
struct SocketFile {
    /// Absolute: the working directory may change until it is removed.
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: u32,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let path = absolute(path)?;
        let metadata = fs::symlink_metadata(&path)?;
        Ok(Self {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            owner: process::id(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = process::id() == self.owner
            && fs::symlink_metadata(&self.path)
                .is_ok_and(|it| (it.dev(), it.ino()) == (self.device, self.inode));
        if is_ours {
            // If it cannot be removed, the next one who binds there finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};

    use super::*;

    fn listen_on(text: &str) -> Result<Listener, NetError> {
        Listener::bind(&text.parse().unwrap(), &ListenOptions::default())
    }

    fn port_of(listener: &Listener) -> u16 {
        listener.local_addr().tcp().unwrap().port()
    }

    /// A connection that the listener has in its queue for sure, since `connect` has returned.
    fn accept_from(listener: &Listener, address: SocketAddr) -> (Socket, PeerAddr, TcpStream) {
        let client = TcpStream::connect(address).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        (socket, peer, client)
    }

    fn has_ipv6() -> bool {
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    #[test]
    fn each_form_of_address_is_listened_on() {
        for (text, ip) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("lo:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            if ip.is_ipv6() && !has_ipv6() {
                continue;
            }
            let listener = listen_on(text).unwrap();
            let address = listener.local_addr().tcp().unwrap();
            assert_eq!(address.ip(), ip);
            assert_ne!(address.port(), 0, "the port that the system chose");
            let (socket, peer, client) = accept_from(&listener, address);
            assert_eq!(peer, PeerAddr::Tcp(client.local_addr().unwrap()));
            assert_eq!(socket.peer_addr().unwrap(), peer);
        }
        let listener = listen_on("localhost:0").unwrap();
        assert!(listener.local_addr().tcp().unwrap().ip().is_loopback());
    }

    #[test]
    fn all_addresses_are_ipv6_and_ipv4() {
        let listener = listen_on(":0").unwrap();
        let port = port_of(&listener);
        let (_, peer, client) = accept_from(&listener, SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(
            peer,
            PeerAddr::Tcp(client.local_addr().unwrap()),
            "not mapped into IPv6"
        );
        if has_ipv6() {
            let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
            let (_, peer, client) = accept_from(&listener, address);
            assert_eq!(peer, PeerAddr::Tcp(client.local_addr().unwrap()));
            let taken = listen_on(&format!(":{port}")).unwrap_err();
            assert_eq!(
                taken.to_string(),
                format!("bind [::]:{port}: {}", Errno::ADDRINUSE)
            );
        }
    }

    #[test]
    fn an_ipv6_address_is_only_that() {
        if has_ipv6() {
            let listener = listen_on("[::]:0").unwrap();
            let port = port_of(&listener);
            let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            listen_on(&format!("0.0.0.0:{port}")).unwrap();
        }
    }

    #[test]
    fn accepted_sockets_are_as_they_should_be() {
        let listener = listen_on("127.0.0.1:0").unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let (socket, _, _client) = accept_from(&listener, listener.local_addr().tcp().unwrap());
        assert!(sockopt::tcp_nodelay(&socket).unwrap());
        assert!(fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK));
        assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn a_port_is_shared_only_if_asked_for() {
        let share = ListenOptions {
            reuse_port: true,
            ..ListenOptions::default()
        };
        let first = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &share).unwrap();
        let same = Bind::from(first.local_addr().tcp().unwrap());
        let error = Listener::bind(&same, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(error.operation(), Operation::Bind);
        assert_eq!(error.subject(), same.to_string());
        Listener::bind(&same, &share).unwrap();
    }

    #[test]
    fn a_unix_socket_comes_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let text = format!("unix:{}", path.display());
        let listener = listen_on(&text).unwrap();
        assert_eq!(listener.local_addr(), &LocalAddr::Unix(path.clone()));
        assert_eq!(listener.local_addr().to_string(), text);
        let mut client = UnixStream::connect(&path).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        assert_eq!(peer, PeerAddr::Unix);
        assert_eq!(peer.to_string(), "unix");
        drop(socket);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);

        let taken = listen_on(&text).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists(), "the one in use stays");
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let bind = Bind::Unix(path.clone());
        let options = ListenOptions {
            unix_mode: Some(0o600),
            ..ListenOptions::default()
        };
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind");
        let listener = Listener::bind(&bind, &options).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        UnixStream::connect(&path).unwrap();
        drop(listener);

        fs::write(&path, "precious").unwrap();
        let error = Listener::bind(&bind, &options).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("bind {bind}: something that is no socket is there already")
        );
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let error = listen_on("unix:/nonexistent/socket").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(listen_on(&format!("unix:/{}", "x".repeat(200))).is_err());
    }

    #[test]
    fn only_its_own_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let first = Listener::bind(&Bind::Unix(path.clone()), &ListenOptions::default()).unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        let second = Listener::bind(&Bind::Unix(path.clone()), &ListenOptions::default()).unwrap();
        drop(first);
        assert!(path.exists(), "that is the successor's");

        // As in a child that was forked after the bind.
        let mut inherited = SocketFile::of(&path).unwrap();
        inherited.owner += 1;
        drop(inherited);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn failures_are_told_apart() {
        let failure = |errno: Errno| AcceptFailure::of(&errno.into());
        assert_eq!(failure(Errno::AGAIN), AcceptFailure::Empty);
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(failure(errno), AcceptFailure::Exhausted);
        }
        for errno in [
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
        ] {
            assert_eq!(failure(errno), AcceptFailure::Connection);
        }
        for errno in [Errno::BADF, Errno::INVAL] {
            assert_eq!(failure(errno), AcceptFailure::Listener);
        }
        assert_eq!(
            AcceptFailure::of(&io::Error::other("?")),
            AcceptFailure::Listener
        );
    }
}
