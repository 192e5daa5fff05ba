//! The options that `connect`, `ping` and `bench` share: whom to connect to, which way, and what to say
//! there.

use std::net::IpAddr;
use std::time::Duration;

use clap::{ArgAction, Args};
use sockeye::{HeaderName, HeaderValue, Proxy, ProxyChoice};

use super::parse_duration;
use super::tls::ClientTlsArgs;

#[derive(Args, Debug)]
pub(crate) struct RemoteArgs {
    /// ws://HOST:PORT/PATH, wss:// (or http://, https://) for TLS, HOST:PORT/PATH, or
    /// unix:SOCKET:/PATH
    pub(crate) url: String,

    /// Subprotocol to offer, the best first. May be given several times
    #[arg(long = "subprotocol", short = 'p', value_name = "NAME")]
    pub(crate) subprotocols: Vec<String>,

    /// Header to send. May be given several times
    #[arg(long = "header", short = 'H', value_name = "K: V", value_parser = parse_header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,

    /// Origin to send, as the page of a browser does
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,

    /// Cookie to send, as NAME=VALUE. May be given several times
    #[arg(long = "cookie", value_name = "K=V", value_parser = parse_cookie)]
    pub(crate) cookies: Vec<(String, String)>,

    /// User name and password to log in with (Basic). Without a password it is asked for, which
    /// keeps it out of the list of processes
    #[arg(long, value_name = "NAME[:PASSWORD]", value_parser = parse_user, conflicts_with = "bearer")]
    pub(crate) user: Option<User>,

    /// Token to log in with (Bearer)
    #[arg(long, value_name = "TOKEN")]
    pub(crate) bearer: Option<String>,

    /// Seconds that name look-up, connecting and the handshake may take together
    #[arg(
        long,
        value_name = "SECS",
        value_parser = parse_duration,
        default_value = "10",
        action = ArgAction::Set
    )]
    pub(crate) timeout: Duration,

    /// Proxy to go through: http://HOST:PORT (CONNECT), socks5:// or socks5h:// (the proxy looks
    /// names up), with USER:PASSWORD@ if it wants that; `none` for none [default: as http_proxy,
    /// https_proxy, all_proxy and no_proxy say]
    #[arg(long, value_name = "URL|none", value_parser = parse_proxy)]
    pub(crate) proxy: Option<ProxyChoice>,

    /// Redirects to follow, 0 to 10. Credentials stay with the server they are for
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u8).range(0..=10)
    )]
    pub(crate) max_redirects: u8,

    /// Take ADDR for HOST at this port instead of looking it up. May be given several times
    #[arg(long, value_name = "HOST:PORT:ADDR", value_parser = parse_resolve)]
    pub(crate) resolve: Vec<Resolve>,

    /// Show on standard error what happens: the heads of request and answer, TLS, each frame.
    /// Credentials are left out
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) tls: ClientTlsArgs,
}

/// A value of `--user`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password stays out of whatever is printed.
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A value of `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolve {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) address: IpAddr,
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "write it as 'Name: value'".to_owned())?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is no name of a header"))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("the value of {name} holds a control character"))?;
    Ok((name, value))
}

fn parse_cookie(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as 'name=value'".to_owned()),
    }
}

fn parse_user(text: &str) -> Result<User, String> {
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password.to_owned())),
        None => (text, None),
    };
    match name.is_empty() {
        true => Err("write it as NAME:PASSWORD, or NAME alone to be asked".to_owned()),
        false => Ok(User {
            name: name.to_owned(),
            password,
        }),
    }
}

fn parse_proxy(text: &str) -> Result<ProxyChoice, String> {
    match text {
        "none" => Ok(ProxyChoice::Direct),
        text => text
            .parse::<Proxy>()
            .map(ProxyChoice::Via)
            .map_err(|error| error.to_string()),
    }
}

fn parse_resolve(text: &str) -> Result<Resolve, String> {
    let problem = || "write it as HOST:PORT:ADDR, such as example.org:443:127.0.0.1".to_owned();
    let (host, rest) = text.split_once(':').ok_or_else(problem)?;
    let (port, address) = rest.split_once(':').ok_or_else(problem)?;
    let bare = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    match (port.parse(), bare.unwrap_or(address).parse()) {
        (Ok(port), Ok(address)) if !host.is_empty() => Ok(Resolve {
            host: host.to_owned(),
            port,
            address,
        }),
        _ => Err(problem()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let (name, value) = parse_header("X-A: b: c ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-a", "b: c"));
        for text in ["X-A", "X A: b", ": b", "X-A: b\r\nX-C: d"] {
            assert!(parse_header(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn users() {
        let user = |name: &str, password: Option<&str>| User {
            name: name.to_owned(),
            password: password.map(str::to_owned),
        };
        assert_eq!(parse_user("bob"), Ok(user("bob", None)));
        assert_eq!(parse_user("bob:"), Ok(user("bob", Some(""))));
        assert_eq!(parse_user("bob:a:b"), Ok(user("bob", Some("a:b"))));
        assert!(parse_user(":a").is_err() && parse_user("").is_err());
        assert!(!format!("{:?}", user("bob", Some("secret"))).contains("secret"));
    }

    #[test]
    fn cookies() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(parse_cookie("a=b=c"), pair("a", "b=c"));
        assert_eq!(parse_cookie("a="), pair("a", ""));
        assert!(parse_cookie("a").is_err() && parse_cookie("=b").is_err());
    }

    #[test]
    fn proxies() {
        assert_eq!(parse_proxy("none"), Ok(ProxyChoice::Direct));
        assert!(matches!(parse_proxy("p:1"), Ok(ProxyChoice::Via(_))));
        assert!(parse_proxy("ftp://p").is_err());
    }

    #[test]
    fn addresses_by_hand() {
        let resolve = |address: &str| {
            Ok(Resolve {
                host: "a.test".to_owned(),
                port: 443,
                address: address.parse().unwrap(),
            })
        };
        assert_eq!(parse_resolve("a.test:443:10.0.0.1"), resolve("10.0.0.1"));
        assert_eq!(parse_resolve("a.test:443:::1"), resolve("::1"));
        assert_eq!(parse_resolve("a.test:443:[::1]"), resolve("::1"));
        for text in ["", "a", "a:443", ":443:1.1.1.1", "a:x:1.1.1.1", "a:443:b"] {
            assert!(parse_resolve(text).is_err(), "{text}");
        }
    }
}
