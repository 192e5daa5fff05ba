//! Addresses of the two ends of a socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rustix::net::SocketAddrAny;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// An Internet address. IPv4 is always in its own form, never mapped into IPv6.
    Tcp(SocketAddr),
    /// A process of this machine, over a Unix socket: clients of those have no address.
    Unix,
}

impl PeerAddr {
    /// The address without the port; `None` over a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    pub(crate) fn from_any(address: Option<SocketAddrAny>) -> Self {
        address
            .and_then(|address| SocketAddr::try_from(address).ok())
            .map_or(Self::Unix, |address| Self::Tcp(canonical(address)))
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.pad("unix"),
        }
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LocalAddr {
    /// With the port that the system chose, if port 0 was asked for.
    Tcp(SocketAddr),
    /// The path of a Unix socket, as it was given.
    Unix(PathBuf),
}

impl LocalAddr {
    /// The Internet address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// IPv4 that came in by a dual-stack socket looks like IPv6; limits and logs want the former.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // As it was: the scope of a link-local address would be lost.
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_unwrapped_and_others_kept() {
        for (address, expected) in [
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("[fe80::1%3]:5", "[fe80::1%3]:5"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(
                canonical(address.parse().unwrap()),
                expected.parse().unwrap()
            );
        }
    }

    #[test]
    fn addresses_are_displayed() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(PeerAddr::Tcp(address).to_string(), "127.0.0.1:80");
        assert_eq!(LocalAddr::Tcp(address).to_string(), "127.0.0.1:80");
        assert_eq!(LocalAddr::Unix(PathBuf::from("x")).to_string(), "unix:x");
        assert_eq!(PeerAddr::Tcp(address).ip(), Some(address.ip()));
        assert_eq!(PeerAddr::Unix.ip(), None);
    }
}
