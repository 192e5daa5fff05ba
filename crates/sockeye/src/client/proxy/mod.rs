//! Proxies: which one to go through, and how to get through it.
//!
//! [`Proxy`] is what options and the environment name; `handshake` asks a proxy for a connection,
//! as a machine without I/O. Who resolves which name and when is the connect stage's business.

mod environment;
mod error;
mod handshake;
mod http_connect;
mod socks5;

use std::fmt;
use std::str::FromStr;

use url::Url;

pub use self::error::{ProxyError, SocksReply};
pub(crate) use self::handshake::ProxyHandshake;

use super::credentials::{Credentials, without_password};
use crate::error::Error;

/// A proxy for outgoing connections.
///
/// ```
/// use sockeye::Proxy;
///
/// let proxy: Proxy = "http://user:password@127.0.0.1:3128".parse()?;
/// assert_eq!(proxy.to_string(), "http://127.0.0.1:3128");
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub(crate) kind: ProxyKind,
    /// As it is in a URL: an IPv6 address is in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// HTTP CONNECT (RFC 9110 §9.3.6).
    Http,
    /// SOCKS5 (RFC 1928) with an address: names are resolved here.
    Socks5,
    /// SOCKS5 with a name: the proxy resolves it.
    Socks5Names,
}

/// Which way outgoing connections take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// What the environment says: `http_proxy` (only in lower case) for `ws://`, `https_proxy` or
    /// `HTTPS_PROXY` for `wss://`, else `all_proxy` or `ALL_PROXY`; but none for hosts that
    /// `no_proxy` or `NO_PROXY` lists, and none for this machine itself.
    #[default]
    Environment,
    /// No proxy.
    Direct,
    /// This one, for every host.
    Via(Proxy),
}

impl From<Proxy> for ProxyChoice {
    fn from(proxy: Proxy) -> Self {
        Self::Via(proxy)
    }
}

impl FromStr for Proxy {
    type Err = Error;

    /// From `http://host:port` (CONNECT), `socks5://host:port` (names are resolved here) or
    /// `socks5h://host:port` (the proxy resolves them), with `user:password@` before the host if
    /// the proxy wants them. Without a scheme it is `http`; the ports default to 80 and 1080.
    fn from_str(text: &str) -> Result<Self, Error> {
        let shown = || without_password(text);
        let invalid = |problem: &str| Error::invalid(shown(), problem);
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let (scheme, rest) = with_scheme.split_once("://").unwrap_or_default();
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 80),
            "socks5" => (ProxyKind::Socks5, 1080),
            "socks5h" => (ProxyKind::Socks5Names, 1080),
            "https" => {
                return Err(invalid(
                    "TLS to the proxy itself is not supported: write http:// if it can do without",
                ));
            }
            _ => return Err(invalid("a proxy is http://, socks5:// or socks5h://")),
        };
        // For hosts of unknown schemes the URL standard has other rules.
        let url = Url::parse(&format!("http://{rest}")).map_err(|error| {
            invalid(&format!("{error}; write for example http://127.0.0.1:3128"))
        })?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("there is more in it than a host and a port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("there is no host in it"))?;
        // The parser hides a scheme's own port, even if it is written.
        let written = |scheme: &str| Url::parse(&format!("{scheme}://{rest}")).ok()?.port();
        let port = url
            .port()
            .or_else(|| written("ftp"))
            .unwrap_or(default_port);
        let credentials = Credentials::from_url(&url)?;
        if let Some(credentials) = &credentials {
            match kind {
                ProxyKind::Http => drop(credentials.basic()?),
                ProxyKind::Socks5 | ProxyKind::Socks5Names => socks5::check(credentials)
                    .map_err(|problem| Error::invalid(shown(), problem))?,
            }
        }
        Ok(Self {
            kind,
            host: host.to_owned(),
            port,
            credentials,
        })
    }
}

impl TryFrom<&str> for Proxy {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self, Error> {
        text.parse()
    }
}

impl fmt::Display for Proxy {
    /// As a URL, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Socks5Names => "socks5h",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        for (text, shown) in [
            ("http://proxy.test:3128", "http://proxy.test:3128"),
            ("HTTP://proxy.test/", "http://proxy.test:80"),
            ("proxy.test:3128", "http://proxy.test:3128"),
            ("user:secret@127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("socks5://[::1]", "socks5://[::1]:1080"),
            ("socks5h://proxy.test:80", "socks5h://proxy.test:80"),
            (
                "socks5://user:secret@proxy.test:9/",
                "socks5://proxy.test:9",
            ),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refused() {
        let long = format!("socks5://{}@a", "u".repeat(256));
        for text in [
            "",
            "https://a",
            "socks4://a",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a:b",
            "http://a#b",
            "http://u%3Av:x@a",
            "socks5://u@a",
            &long,
        ] {
            assert!(text.parse::<Proxy>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let proxy: Proxy = "http://user:secret@a".parse().unwrap();
        assert_eq!(proxy.credentials.as_ref().unwrap().password, "secret");
        assert!(!format!("{proxy:?} {proxy}").contains("secret"));
        for text in [
            "http://user:secret@a/b",
            "ftp://user:secret@a",
            "http://user:secret@a:x",
        ] {
            assert!(
                !text
                    .parse::<Proxy>()
                    .unwrap_err()
                    .to_string()
                    .contains("secret")
            );
        }
    }
}
