//! Outgoing connections: what a program asks for, and why it may fail.
//!
//! Values only; how a connection comes about is the connect stage's business.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sockeye_proto::ws::Delivery;
use url::Url;

use crate::error::Error;
use crate::protocol::Overflow;
use crate::tls::ClientTls;

/// Where to connect to, and what to say there.
///
/// ```
/// use sockeye::ConnectOptions;
///
/// let options = ConnectOptions::new("ws://127.0.0.1:9001/feed?depth=2")?
///     .subprotocol("feed.v2")
///     .origin("http://127.0.0.1:9001");
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub(crate) destination: Destination,
    /// The value of the Host header.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) origin: Option<String>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) delivery: Delivery,
    pub(crate) overflow: Overflow,
    pub(crate) timeout: Option<Duration>,
    pub(crate) secure: bool,
    pub(crate) tls: Option<ClientTls>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ConnectOptions {
    /// For a URL: `ws://host:port/path?query`, the same with `wss://`, or `ws+unix:/path/of/socket:/path?query` for a Unix
    /// socket.
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        if let Some(rest) = url.strip_prefix("ws+unix:") {
            return Self::unix(url, rest);
        }
        let parsed = Url::parse(url).map_err(|error| {
            Error::invalid(
                url,
                format!("{error}; write for example ws://127.0.0.1:7681/echo"),
            )
        })?;
        match parsed.scheme() {
            "ws" | "wss" => {}
            other => {
                let problem = format!("the scheme {other} is neither ws:// nor wss://");
                return Err(Error::invalid(url, problem));
            }
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let problem = "credentials do not belong in the URL; send an Authorization header";
            return Err(Error::invalid(url, problem));
        }
        if parsed.fragment().is_some() {
            return Err(Error::invalid(
                url,
                "a fragment (#...) has no place here (RFC 6455 §3)",
            ));
        }
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
            return Err(Error::invalid(url, "there is no host in it"));
        };
        let mut target = parsed.path().to_owned();
        if let Some(query) = parsed.query() {
            target.push('?');
            target.push_str(query);
        }
        let host_header = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let destination = Destination::Tcp {
            host: host.to_owned(),
            port,
        };
        let mut options = Self::to(destination, host_header, target);
        options.secure = parsed.scheme() == "wss";
        Ok(options)
    }

    fn unix(url: &str, rest: &str) -> Result<Self, Error> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, target) = rest.split_once(':').unwrap_or((rest, "/"));
        if path.is_empty() || !target.starts_with('/') {
            let problem = "write ws+unix:/path/of/socket or ws+unix:/path/of/socket:/path?query";
            return Err(Error::invalid(url, problem));
        }
        let destination = Destination::Unix(path.into());
        Ok(Self::to(
            destination,
            "localhost".to_owned(),
            target.to_owned(),
        ))
    }

    fn to(destination: Destination, host: String, target: String) -> Self {
        Self {
            destination,
            host,
            target,
            origin: None,
            subprotocols: Vec::new(),
            headers: HeaderMap::new(),
            delivery: Delivery::default(),
            overflow: Overflow::default(),
            timeout: None,
            secure: false,
            tls: None,
        }
    }

    /// How to speak TLS with a `wss://` server. The default trusts the machine's roots.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sends an Origin header, as browsers do.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Offers a subprotocol; the first one offered is preferred. A server that names another one is
    /// not talked to (RFC 6455 §4.1).
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds a header to the request.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// How messages are handed over: whole (the default) or as chunks while they arrive.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// What happens when the connection's backlog is full. The default is to close it.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How long resolving, connecting and the handshake may take together, whatever traffic there
    /// is. The default is [`Limits::connect_timeout`](crate::Limits::connect_timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl TryFrom<&str> for ConnectOptions {
    type Error = Error;

    fn try_from(url: &str) -> Result<Self, Error> {
        Self::new(url)
    }
}

impl TryFrom<String> for ConnectOptions {
    type Error = Error;

    fn try_from(url: String) -> Result<Self, Error> {
        Self::new(&url)
    }
}
