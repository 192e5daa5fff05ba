//! Clients: the way to the server, which the caller waits for, and what is said there.

use std::env;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sockeye::proto::Version;
use sockeye::{ConnId, ConnectOptions, Core, Delivery, Proxy, ProxyChoice};

use crate::context::Context;
use crate::log;
use crate::record::{Record, Side};

/// How long a name, and then a connection, may take while the program waits.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take to answer, and the proxy before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a program asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) address: String,
    pub(crate) port: u16,
    /// As `ssl_connection` has it.
    pub(crate) tls: i32,
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    /// Names with commas between them.
    pub(crate) protocols: Option<String>,
    pub(crate) version: i32,
}

/// The proxy that the environment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpProxy {
    host: String,
    port: u16,
}

impl HttpProxy {
    /// What `http_proxy` says now.
    ///
    /// # Errors
    ///
    /// It says something else than `host:port` or `http://[user@]host:port[/]`.
    pub(crate) fn from_environment() -> Result<Option<Self>, String> {
        match env::var("http_proxy") {
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err("http_proxy is no text".to_owned()),
            Ok(value) => Self::parse(&value).map(Some),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("http_proxy is {text:?}, and should be host:port");
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(wrong)?;
        let proxy = Self {
            host: host.to_owned(),
            port,
        };
        // The engine must be able to name it, too.
        proxy.choice().ok_or_else(wrong)?;
        Ok(proxy)
    }

    fn choice(&self) -> Option<ProxyChoice> {
        let proxy: Proxy = format!("http://{}:{}", self.host, self.port).parse().ok()?;
        Some(proxy.into())
    }
}

impl Context {
    /// Connects. The caller waits for the way there and for TLS, not for the answer.
    pub(crate) fn connect(&self, wanted: &Wanted) -> Option<Arc<Record>> {
        let outcome = self.try_connect(wanted);
        if let Err(why) = &outcome {
            log::refused(&format!("cannot connect to {}", wanted.address), why);
        }
        outcome.ok()
    }

    fn try_connect(&self, wanted: &Wanted) -> Result<Arc<Record>, String> {
        if self.is_over.get() {
            return Err("the context is being destroyed".to_owned());
        }
        let options = self.options(wanted)?;
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (wanted.address.as_str(), wanted.port),
        };
        let stream = reach(host, port).map_err(|error| error.to_string())?;
        let home = self.home.borrow().clone();
        let record = Record::create(&home, Side::Client).ok_or("there are too many")?;
        record.asked.set(wanted.protocols.is_some());
        let session = Arc::clone(&record);
        let key = self.key().ok_or("the context is not complete")?;
        self.advance();
        let begun = self.with_core(|core| core.connect_over(key, options, stream, session));
        match begun {
            Some(Ok(id)) => {
                self.enrol(&record, id);
                self.tell_news();
                if wanted.tls != 0 && self.proxy.is_none() {
                    self.await_tls(&record, id);
                }
                // The program may have ended it when it was told, or the server refused.
                if record.is_over() {
                    let refusal = record.refusal.take();
                    return Err(refusal.unwrap_or_else(|| "it was ended at once".to_owned()));
                }
                Ok(record)
            }
            Some(Err(error)) => {
                self.retire(&record);
                Err(error.to_string())
            }
            None => {
                self.retire(&record);
                Err("nothing can be begun within this callback".to_owned())
            }
        }
    }

    /// Waits until TLS is in place or refused, which the caller is to be told at once; the engine's
    /// deadline for the answer bounds it. Nothing else is polled meanwhile. Within a callback there
    /// is no waiting: then a refusal is told by `DEL_POLL_FD` alone.
    fn await_tls(&self, record: &Record, id: ConnId) {
        while self.depth.get() == 0 && !record.is_over() {
            let is_secure =
                |core: &mut Core| core.peer(id).is_some_and(|peer| peer.tls().is_some());
            if self.with_core(is_secure) != Some(false) {
                return;
            }
            let due = self.with_engine(|engine| engine.next_deadline()).flatten();
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            let ready = self.watch.borrow().wait_for(id.into(), wait);
            self.with_engine(|engine| engine.service(ready.as_slice(), Instant::now()));
            self.tell_news();
        }
    }

    /// What to say to the server.
    fn options(&self, wanted: &Wanted) -> Result<ConnectOptions, String> {
        let version = version(wanted.version)?;
        if !(0..=2).contains(&wanted.tls) {
            return Err(format!("there is no kind {} of TLS", wanted.tls));
        }
        let host = match wanted.address.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => wanted.address.clone(),
        };
        let scheme = if wanted.tls == 0 { "ws" } else { "wss" };
        let url = format!("{scheme}://{host}:{}/", wanted.port);
        let mut options = ConnectOptions::new(&url).map_err(|error| error.to_string())?;
        if !is_target(&wanted.path) {
            return Err(format!("{:?} is no path", wanted.path));
        }
        options = options.target(&wanted.path);
        if let Some(host) = &wanted.host {
            let is_authority = ConnectOptions::new(&format!("ws://{host}/"))
                .is_ok_and(|parsed| parsed.url().ends_with('/') && !host.contains(['/', '@', '?']));
            if !is_authority {
                return Err(format!("{host:?} is no host"));
            }
            options = options.host(host);
        }
        if let Some(origin) = &wanted.origin {
            if !origin.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(format!("{origin:?} is no origin"));
            }
            options = options.origin(origin);
        }
        for name in wanted.protocols.iter().flat_map(|names| names.split(',')) {
            let name = name.trim_matches([' ', '\t']);
            if !is_token(name) {
                return Err(format!("{name:?} is no protocol"));
            }
            options = options.subprotocol(name);
        }
        let mut timeout = ANSWER_TIMEOUT;
        let proxy = match &self.proxy {
            None => ProxyChoice::Direct,
            Some(proxy) => {
                timeout += ANSWER_TIMEOUT;
                proxy.choice().ok_or("the proxy makes no sense")?
            }
        };
        options = options
            .proxy(proxy)
            .version(version)
            .timeout(timeout)
            .delivery(Delivery::Streaming);
        self.tls.borrow().secure(options, wanted.tls)
    }

    /// The engine's time may have stood still for long.
    fn advance(&self) {
        if !self.is_turning() {
            self.with_engine(|engine| engine.advance(Instant::now()));
        }
    }
}

/// The version of a number, which is -1 for the newest, or for what the environment says instead.
fn version(number: i32) -> Result<Version, String> {
    let number = match (number, env::var("SOCKEYE_IETF_VERSION")) {
        (-1, Ok(text)) => text
            .parse()
            .map_err(|_| format!("SOCKEYE_IETF_VERSION is {text:?}, and should be a number"))?,
        (-1, Err(_)) => i32::from(Version::default().number()),
        _ => number,
    };
    let known = u8::try_from(number).ok().and_then(Version::from_number);
    known.ok_or_else(|| format!("version {number} is not spoken"))
}

/// Path and query as they can stand in a request line.
fn is_target(path: &str) -> bool {
    path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// Connects to a host by any of its addresses, within a bounded time.
fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let deadline = Instant::now() + REACH_TIMEOUT;
    let mut failure = io::ErrorKind::NotFound.into();
    for address in resolve(host, port)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The addresses of a host. The name service can take longer than a program wants to wait, and
/// nothing stops it, so it is asked by a thread of its own.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host).to_owned();
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, answered) = mpsc::channel();
    thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Nobody may be waiting any more.
            drop(answer.send(found.map(Iterator::collect)));
        })?;
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    answered.recv_timeout(REACH_TIMEOUT).map_err(timed_out)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_the_environment() {
        for (text, host, port) in [
            ("proxy:3128", "proxy", 3128),
            ("http://proxy:3128", "proxy", 3128),
            ("http://proxy:80/", "proxy", 80),
            ("http://user@127.0.0.1:8080/", "127.0.0.1", 8080),
            ("[::1]:8080", "[::1]", 8080),
        ] {
            let host = host.to_owned();
            assert_eq!(
                HttpProxy::parse(text),
                Ok(HttpProxy { host, port }),
                "{text}"
            );
        }
        for text in [
            "proxy",
            "proxy:",
            "proxy:0",
            ":3128",
            "a b:1",
            "https://proxy:1",
            "proxy:65536",
        ] {
            assert!(HttpProxy::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_stand_in_a_request() {
        for path in ["/", "/a?b=c%20d", "/~x;y"] {
            assert!(is_target(path), "{path}");
        }
        for path in ["", "a", "/a b", "/a\r\nb", "/\u{e4}", "/#a", "*"] {
            assert!(!is_target(path), "{path}");
        }
        assert!(is_token("lws-mirror-protocol"));
        for name in ["", "a b", "a,b", "a\r\nb"] {
            assert!(!is_token(name), "{name}");
        }
    }
}
