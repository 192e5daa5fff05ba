//! Outgoing connections: what a program asks for.
//!
//! Values only; how a connection comes about is the connect stage's business.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sockeye_proto::handshake::ConnectRequest;
use sockeye_proto::ws::Delivery;

use super::address::{Address, Destination};
use super::credentials::{self, Credentials};
use super::proxy::{Proxy, ProxyChoice};
use crate::compression::Wish;
use crate::error::Error;
use crate::protocol::Overflow;
use crate::tls::ClientTls;
use crate::trace::{Trace, Tracer};

/// Where to connect to, and what to say there.
///
/// ```
/// use sockeye::{ConnectOptions, ProxyChoice};
///
/// let options = ConnectOptions::new("ws://127.0.0.1:9001/feed?depth=2")?
///     .subprotocol("feed.v2")
///     .origin("http://127.0.0.1:9001")
///     .proxy(ProxyChoice::Direct)
///     .max_redirects(3)
///     .bearer_auth("secret")?;
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub(crate) address: Address,
    /// The value of the Host header, if it is not the URL's.
    pub(crate) host: Option<String>,
    /// Path and query, if they are not the URL's.
    pub(crate) target: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) delivery: Delivery,
    pub(crate) overflow: Overflow,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: ProxyChoice,
    pub(crate) max_redirects: u8,
    pub(crate) tracer: Option<Tracer>,
    /// What to offer, if it is not what the engine does.
    compression: Option<Wish>,
    #[cfg(feature = "drafts")]
    version: sockeye_proto::Version,
    /// Addresses that are known without asking anybody.
    resolved: Vec<(String, u16, IpAddr)>,
}

impl ConnectOptions {
    /// For a URL: `ws://host:port/path?query`, the same with `wss://`, or
    /// `ws+unix:/path/of/socket:/path?query` (or `wss+unix:`) for a Unix socket. `user:password@`
    /// before the host becomes Basic authorization.
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (address, credentials) = Address::parse(url)?;
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials {
            headers.insert(header::AUTHORIZATION, credentials.basic()?);
        }
        Ok(Self {
            address,
            host: None,
            target: None,
            origin: None,
            subprotocols: Vec::new(),
            headers,
            delivery: Delivery::default(),
            overflow: Overflow::default(),
            timeout: None,
            tls: None,
            proxy: ProxyChoice::default(),
            max_redirects: 0,
            tracer: None,
            compression: None,
            #[cfg(feature = "drafts")]
            version: Default::default(),
            resolved: Vec::new(),
        })
    }

    /// Goes to another URL with all other settings, except that credentials for the old one stay
    /// where they belong if the new one has another host, port or scheme.
    ///
    /// # Errors
    ///
    /// It is no URL for a WebSocket.
    pub fn set_url(&mut self, url: &str) -> Result<(), Error> {
        let (address, credentials) = Address::parse(url)?;
        let authorization = credentials.map(|credentials| credentials.basic());
        let authorization = authorization.transpose()?;
        if !address.is_same_origin(&self.address) {
            self.drop_credentials();
        }
        if let Some(authorization) = authorization {
            self.headers.insert(header::AUTHORIZATION, authorization);
        }
        self.target = None;
        self.address = address;
        Ok(())
    }

    /// The URL, without credentials.
    pub fn url(&self) -> String {
        self.address.to_string()
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

    /// Adds a header to the request. Authorization and Cookie can be there only once: they replace
    /// what was set before. Values that are marked as sensitive are never sent to another origin
    /// that a redirect leads to.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if [header::AUTHORIZATION, header::COOKIE].contains(&name) {
            self.headers.insert(name, value);
        } else {
            self.headers.append(name, value);
        }
        self
    }

    /// The value of the Host header, if it shall not be the URL's. TLS verifies the URL's host all
    /// the same.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Path and query as they go into the request, if they shall not be the URL's, which come with
    /// escapes and without dot segments as browsers send them. Begins with `/`, and ends with a
    /// redirect.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Authenticates with a user name and a password (RFC 7617), in place of other credentials.
    ///
    /// # Errors
    ///
    /// There is a colon in the user's name, or a control character somewhere.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Result<Self, Error> {
        let credentials = Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        self.headers
            .insert(header::AUTHORIZATION, credentials.basic()?);
        Ok(self)
    }

    /// Authenticates with a token (RFC 6750), in place of other credentials.
    ///
    /// # Errors
    ///
    /// It is no token: it has blanks or other than visible ASCII characters in it.
    pub fn bearer_auth(mut self, token: &str) -> Result<Self, Error> {
        self.headers
            .insert(header::AUTHORIZATION, credentials::bearer(token)?);
        Ok(self)
    }

    /// Sends a cookie, beside those set before (RFC 6265 §4.2).
    ///
    /// # Errors
    ///
    /// The name is no token, or there is a semicolon, a blank or a control character in the value.
    pub fn cookie(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let name_fits = HeaderName::from_bytes(name.as_bytes()).is_ok();
        let value_fits = value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !name_fits || !value_fits {
            let problem = "its name or value has characters that no cookie can carry";
            return Err(Error::invalid(format!("the cookie {name}"), problem));
        }
        let before = self.headers.get(header::COOKIE);
        let cookies = match before.and_then(|value| value.to_str().ok()) {
            Some(before) => format!("{before}; {name}={value}"),
            None => format!("{name}={value}"),
        };
        let cookies = credentials::secret(&cookies)?;
        self.headers.insert(header::COOKIE, cookies);
        Ok(self)
    }

    /// Whether to go through a proxy. The default asks the environment.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<ProxyChoice>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// How many redirects in a row are followed; none by default, and never more than 10. They lead
    /// from `ws` to `wss` but not back, and credentials (Authorization, Cookie and sensitive
    /// headers) are not sent to another origin.
    #[must_use]
    pub fn max_redirects(mut self, count: u8) -> Self {
        self.max_redirects = count;
        self
    }

    /// Takes this address for a host and port instead of asking the name service. Several calls add
    /// up, in order. A proxy that resolves names itself is not told.
    #[must_use]
    pub fn resolve(mut self, host: &str, port: u16, address: IpAddr) -> Self {
        let host = host.to_ascii_lowercase();
        self.resolved.push((host, port, address));
        self
    }

    /// Tells `tell`, on the loop's thread, what goes over the connection: for programs that show or
    /// log it. Credentials are among it. Only the engine tells, not [`blocking`](crate::blocking).
    ///
    /// ```
    /// use sockeye::{ConnectOptions, Trace};
    ///
    /// let options = ConnectOptions::new("ws://127.0.0.1:9001/feed")?.trace(|trace| match trace {
    ///     Trace::Sent(bytes) => eprintln!("> {}", bytes.escape_ascii()),
    ///     Trace::Received(bytes) => eprintln!("< {}", bytes.escape_ascii()),
    ///     other => eprintln!("* {other:?}"),
    /// });
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    #[must_use]
    pub fn trace(mut self, tell: impl Fn(Trace<'_>) + Send + Sync + 'static) -> Self {
        self.tracer = Some(Tracer::new(tell));
        self
    }

    /// The compression (permessage-deflate, RFC 7692) to offer; `None`: none. The default is the
    /// engine's, [`EngineBuilder::deflate`](crate::EngineBuilder::deflate), and for
    /// [`blocking`](crate::blocking) connections none.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, settings: impl Into<Option<crate::deflate::Settings>>) -> Self {
        self.compression = Some(settings.into());
        self
    }

    /// The version of the protocol to speak, for servers from before RFC 6455, which is the default.
    /// A server that speaks another one refuses. Older versions have no compression, and hixie-76 no
    /// binary messages and no pings; it has no clients without an origin, so that the server's own
    /// is sent if none is set.
    #[cfg(feature = "drafts")]
    #[must_use]
    pub fn version(mut self, version: sockeye_proto::Version) -> Self {
        self.version = version;
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

    /// How long all of it may take together, from resolving to the handshake, redirects included,
    /// whatever traffic there is. The default is [`Limits::connect_timeout`](crate::Limits::connect_timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn destination(&self) -> Destination {
        self.address.destination()
    }

    /// What to ask the server for.
    #[allow(
        clippy::needless_update,
        reason = "the core may have features that this crate was built without"
    )]
    pub(crate) fn request(&self, default: Wish) -> ConnectRequest {
        let compression = self.compression.unwrap_or(default);
        #[cfg(not(feature = "deflate"))]
        let Wish = compression;
        let host = self.host.as_deref();
        let target = self.target.as_deref();
        ConnectRequest {
            host: host.unwrap_or_else(|| self.address.authority()).to_owned(),
            target: target.unwrap_or_else(|| self.address.target()).to_owned(),
            origin: self.origin.clone(),
            subprotocols: self.subprotocols.clone(),
            headers: self.headers.clone(),
            #[cfg(feature = "deflate")]
            deflate: compression,
            #[cfg(feature = "drafts")]
            version: self.version,
            ..ConnectRequest::default()
        }
    }

    /// The proxy to go through, if any. `lookup` reads the environment.
    pub(crate) fn chosen_proxy(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Proxy>, Error> {
        let Destination::Tcp { host, port } = self.destination() else {
            return Ok(None);
        };
        match &self.proxy {
            ProxyChoice::Direct => Ok(None),
            ProxyChoice::Via(proxy) => Ok(Some(proxy.clone())),
            ProxyChoice::Environment => {
                Proxy::from_environment(self.address.is_secure(), &host, port, lookup)
            }
        }
    }

    /// The addresses of a host that nobody needs to be asked for, best first; empty if there is
    /// none.
    pub(crate) fn known_addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let literal = literal.unwrap_or(host);
        let known: Vec<SocketAddr> = self
            .resolved
            .iter()
            .filter(|(name, at, _)| *at == port && (name == host || name == literal))
            .map(|&(_, _, address)| SocketAddr::new(address, port))
            .collect();
        match literal.parse::<IpAddr>() {
            Ok(address) if known.is_empty() => vec![SocketAddr::new(address, port)],
            _ => known,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> ConnectOptions {
        ConnectOptions::new(url).unwrap()
    }

    #[test]
    fn one_set_of_credentials() {
        let basic = "Basic dXNlcjpzZWNyZXQ=";
        let from_url = options("ws://user:secret@a/");
        assert_eq!(from_url.headers[header::AUTHORIZATION], basic);
        assert_eq!(from_url.url(), "ws://a/");
        let token = from_url.clone().bearer_auth("t").unwrap();
        assert_eq!(
            token.headers.get_all(header::AUTHORIZATION).iter().count(),
            1
        );
        let again = token.basic_auth("user", "secret").unwrap();
        assert_eq!(again.headers[header::AUTHORIZATION], basic);
        let own = again.header(header::AUTHORIZATION, HeaderValue::from_static("x"));
        assert_eq!(own.headers.get_all(header::AUTHORIZATION).iter().count(), 1);
        assert!(!format!("{from_url:?}").contains("dXNlcjp"), "{from_url:?}");
    }

    #[test]
    fn cookies_share_a_header() {
        let both = options("ws://a/").cookie("a", "1").unwrap();
        let both = both.cookie("b", "\"2\"").unwrap();
        assert_eq!(both.headers[header::COOKIE], "a=1; b=\"2\"");
        for (name, value) in [
            ("", "1"),
            ("a b", "1"),
            ("a=", "1"),
            ("a", "1;b=2"),
            ("a", "1\r\n"),
        ] {
            assert!(
                options("ws://a/").cookie(name, value).is_err(),
                "{name:?} {value:?}"
            );
        }
    }

    #[test]
    fn known_addresses() {
        let known = options("ws://a.test/")
            .resolve("A.test", 80, "10.0.0.1".parse().unwrap())
            .resolve("a.test", 80, "::1".parse().unwrap())
            .resolve("10.9.9.9", 80, "10.0.0.2".parse().unwrap());
        let found = |host, port| {
            let found = known.known_addresses(host, port);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("a.test", 80), ["10.0.0.1:80", "[::1]:80"]);
        assert!(found("a.test", 81).is_empty());
        assert_eq!(found("10.9.9.9", 80), ["10.0.0.2:80"]);
        assert_eq!(found("[fe80::1]", 80), ["[fe80::1]:80"]);
    }

    #[test]
    fn another_url_takes_no_credentials_along() {
        let mut moving = options("ws://user:secret@a/b").subprotocol("x");
        moving.set_url("ws://a/c").unwrap();
        assert!(moving.headers.contains_key(header::AUTHORIZATION));
        moving.set_url("ws://b/c").unwrap();
        assert!(!moving.headers.contains_key(header::AUTHORIZATION));
        assert_eq!(
            (moving.url().as_str(), moving.subprotocols.len()),
            ("ws://b/c", 1)
        );
        moving.set_url("ws://u:p@c/").unwrap();
        assert!(moving.headers.contains_key(header::AUTHORIZATION));
        assert!(moving.set_url("http://c/").is_err());
    }

    #[test]
    fn the_choice_of_the_proxy() {
        let lookup = |name: &str| (name == "http_proxy").then(|| "p:1".to_owned());
        let chosen = |options: ConnectOptions| {
            let proxy = options.chosen_proxy(&lookup).unwrap();
            proxy.map(|proxy| proxy.host)
        };
        let own: Proxy = "q:1".parse().unwrap();
        assert_eq!(chosen(options("ws://a/")).as_deref(), Some("p"));
        assert_eq!(chosen(options("wss://a/")), None);
        assert_eq!(chosen(options("ws://a/").proxy(ProxyChoice::Direct)), None);
        assert_eq!(
            chosen(options("ws://localhost/").proxy(own)).as_deref(),
            Some("q")
        );
        assert_eq!(chosen(options("ws+unix:/s")), None);
    }
}
