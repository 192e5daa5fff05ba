//! What to listen on, as users write it: parsing, displaying, and finding the addresses.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;

use super::{NetError, Operation};

/// What to listen on.
///
/// | written | means |
/// |---|---|
/// | `127.0.0.1:7681`, `[::1]:80` | this address |
/// | `:7681`, `*:7681` | all addresses of the machine, IPv6 and IPv4 |
/// | `lo:7681`, `eth0:80` | the address of this network interface: its IPv4 one, else IPv6 |
/// | `localhost:7681` | the address of this host |
/// | `unix:/run/sockeye.sock` | this Unix socket |
///
/// Port 0 lets the system choose a free one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// Exactly this address. `[::]` is all IPv6 addresses and no IPv4 ones.
    Tcp(SocketAddr),
    /// All addresses of the machine: IPv6 and IPv4 through one socket, or IPv4 only where there is
    /// no IPv6.
    AnyAddress {
        /// 0: a free one.
        port: u16,
    },
    /// The address of a network interface: the first IPv4 one, else the first IPv6 one that is
    /// not link-local, else a link-local one.
    Interface {
        /// As `ip link` shows it.
        name: String,
        /// 0: a free one.
        port: u16,
    },
    /// The address of the network interface of this name if there is one, else of the host. A
    /// host may have several: the first one that can be bound is taken, and only that one.
    /// Binding waits for the name service.
    Name {
        /// Of an interface or a host.
        name: String,
        /// 0: a free one.
        port: u16,
    },
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl Bind {
    /// The Internet addresses to try, in order. Empty for a Unix socket.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, NetError> {
        let failed = |error| NetError::new(Operation::Resolve, self, error);
        Ok(match self {
            Self::Tcp(address) => vec![*address],
            Self::AnyAddress { port } => vec![
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port),
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port),
            ],
            Self::Interface { name, port } => {
                let address = interface_address(name, *port).map_err(failed)?;
                vec![address.ok_or_else(|| {
                    failed(io::Error::new(
                        io::ErrorKind::NotFound,
                        "no network interface of this name has an address",
                    ))
                })?]
            }
            Self::Name { name, port } => match interface_address(name, *port) {
                Ok(Some(address)) => vec![address],
                // Without a list of interfaces the name can still be a host's.
                Ok(None) | Err(_) => (name.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(failed)?
                    .collect(),
            },
            Self::Unix(_) => Vec::new(),
        })
    }
}

fn interface_address(name: &str, port: u16) -> io::Result<Option<SocketAddr>> {
    let rank = |address: &SocketAddr| match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) if !address.ip().is_unicast_link_local() => 1,
        SocketAddr::V6(_) => 2,
    };
    let addresses = getifaddrs()?
        .filter(|interface| interface.interface_name == name)
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            if let Some(v4) = address.as_sockaddr_in() {
                Some(SocketAddr::new(IpAddr::V4(v4.ip()), port))
            } else {
                let v6 = address.as_sockaddr_in6()?;
                Some(SocketAddr::V6(SocketAddrV6::new(
                    v6.ip(),
                    port,
                    0,
                    v6.scope_id(),
                )))
            }
        });
    Ok(addresses.min_by_key(rank))
}

impl FromStr for Bind {
    type Err = ParseBindError;

    fn from_str(text: &str) -> Result<Self, ParseBindError> {
        let error = |reason| ParseBindError {
            text: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(error(Reason::NoPath)),
                path if path.contains('\0') => Err(error(Reason::Name)),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        match text.parse() {
            Ok(ip @ IpAddr::V4(_)) => return Err(error(Reason::NoPortAt(ip))),
            // Whether its last group was meant as a port, nobody knows.
            Ok(IpAddr::V6(_)) => return Err(error(Reason::Ipv6)),
            Err(_) => {}
        }
        if let Some(bracketed) = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            && let Ok(ip) = bracketed.parse::<Ipv6Addr>()
        {
            return Err(error(Reason::NoPortAt(IpAddr::V6(ip))));
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            let is_port = text.parse::<u16>().is_ok();
            return Err(error(if is_port {
                Reason::OnlyPort
            } else {
                Reason::NoPort
            }));
        };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error(Reason::Port));
        }
        let port = port.parse().map_err(|_| error(Reason::Port))?;
        match name {
            "" | "*" => Ok(Self::AnyAddress { port }),
            name if name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) => {
                Err(error(Reason::Name))
            }
            // What is right of this has been parsed above.
            name if name.contains([':', '[', ']']) => Err(error(Reason::Ipv6)),
            name => Ok(Self::Name {
                name: name.to_owned(),
                port,
            }),
        }
    }
}

impl TryFrom<&str> for Bind {
    type Error = ParseBindError;

    fn try_from(text: &str) -> Result<Self, ParseBindError> {
        text.parse()
    }
}

impl TryFrom<String> for Bind {
    type Error = ParseBindError;

    fn try_from(text: String) -> Result<Self, ParseBindError> {
        text.parse()
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// The form that [`FromStr`] takes.
impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::AnyAddress { port } => write!(f, ":{port}"),
            Self::Interface { name, port } | Self::Name { name, port } => {
                write!(f, "{name}:{port}")
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that does not say what to listen on. Its display says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseBindError {
    text: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    OnlyPort,
    NoPort,
    NoPortAt(IpAddr),
    Port,
    Ipv6,
    Name,
    NoPath,
}

impl fmt::Display for ParseBindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(f, "cannot listen on `{}`: ", text.escape_debug())?;
        match reason {
            Reason::OnlyPort => write!(f, "write `:{text}` for all addresses"),
            Reason::NoPort => f.write_str("the port is missing, write `ADDRESS:PORT` or `:PORT`"),
            Reason::NoPortAt(ip) => {
                write!(
                    f,
                    "the port is missing, write `{}`",
                    SocketAddr::new(*ip, 7681)
                )
            }
            Reason::Port => f.write_str("the port must be a number from 0 to 65535"),
            Reason::Ipv6 => f.write_str("write an IPv6 address like `[::1]:7681`"),
            Reason::Name => f.write_str(
                "write `ADDRESS:PORT`, `HOST:PORT`, `INTERFACE:PORT`, `:PORT` or `unix:PATH`",
            ),
            Reason::NoPath => f.write_str("the path is missing, write `unix:PATH`"),
        }
    }
}

impl Error for ParseBindError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, port: u16) -> Bind {
        Bind::Name {
            name: name.to_owned(),
            port,
        }
    }

    #[test]
    fn each_form_is_read_and_written() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 7681));
        let forms = [
            ("127.0.0.1:7681", Bind::Tcp(loopback)),
            (
                "[::1]:80",
                Bind::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, 80))),
            ),
            (":7681", Bind::AnyAddress { port: 7681 }),
            (":0", Bind::AnyAddress { port: 0 }),
            ("lo:7681", name("lo", 7681)),
            ("eth0.5@x:1", name("eth0.5@x", 1)),
            ("localhost:65535", name("localhost", 65535)),
            ("unix:/run/x.sock", Bind::Unix(PathBuf::from("/run/x.sock"))),
            ("unix:x:1", Bind::Unix(PathBuf::from("x:1"))),
        ];
        for (text, bind) in forms {
            assert_eq!(Bind::try_from(text), Ok(bind.clone()), "{text}");
            assert_eq!(bind.to_string(), text);
        }
        assert_eq!("*:80".parse(), Ok(Bind::AnyAddress { port: 80 }));
        assert_eq!(Bind::from(loopback), Bind::Tcp(loopback));
        let interface = Bind::Interface {
            name: "lo".to_owned(),
            port: 80,
        };
        assert_eq!(interface.to_string(), "lo:80");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        let cases = [
            ("7681", "write `:7681` for all addresses"),
            ("", "the port is missing, write `ADDRESS:PORT` or `:PORT`"),
            (
                "localhost",
                "the port is missing, write `ADDRESS:PORT` or `:PORT`",
            ),
            ("127.0.0.1", "the port is missing, write `127.0.0.1:7681`"),
            ("[::1]", "the port is missing, write `[::1]:7681`"),
            ("::1", "write an IPv6 address like `[::1]:7681`"),
            ("::1:80", "write an IPv6 address like `[::1]:7681`"),
            ("[::1:80", "write an IPv6 address like `[::1]:7681`"),
            ("[::g]:80", "write an IPv6 address like `[::1]:7681`"),
            ("localhost:", "the port must be a number from 0 to 65535"),
            (
                "localhost:65536",
                "the port must be a number from 0 to 65535",
            ),
            ("localhost:+80", "the port must be a number from 0 to 65535"),
            (
                "localhost:http",
                "the port must be a number from 0 to 65535",
            ),
            (
                "http://localhost:80",
                "write `ADDRESS:PORT`, `HOST:PORT`, `INTERFACE:PORT`, `:PORT` or `unix:PATH`",
            ),
            (
                "local host:80",
                "write `ADDRESS:PORT`, `HOST:PORT`, `INTERFACE:PORT`, `:PORT` or `unix:PATH`",
            ),
            ("unix:", "the path is missing, write `unix:PATH`"),
        ];
        for (text, hint) in cases {
            let error = text.parse::<Bind>().unwrap_err().to_string();
            assert_eq!(error, format!("cannot listen on `{text}`: {hint}"));
        }
        let error = "a\u{1b}[2J".parse::<Bind>().unwrap_err().to_string();
        assert!(
            !error.contains('\u{1b}'),
            "control characters are shown escaped: {error}"
        );
    }

    #[test]
    fn an_interface_stands_for_its_address() {
        let loopback = vec![SocketAddr::from(([127, 0, 0, 1], 80))];
        assert_eq!(name("lo", 80).addresses().unwrap(), loopback);
        let strictly = |name: &str| Bind::Interface {
            name: name.to_owned(),
            port: 80,
        };
        assert_eq!(strictly("lo").addresses().unwrap(), loopback);
        let error = strictly("localhost").addresses().unwrap_err();
        assert_eq!(
            error.to_string(),
            "resolve localhost:80: no network interface of this name has an address"
        );
    }

    #[test]
    fn a_host_stands_for_its_addresses() {
        let addresses = name("localhost", 80).addresses().unwrap();
        assert!(!addresses.is_empty());
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback()),
            "{addresses:?}"
        );
    }
}
