//! Where a WebSocket URL points to (RFC 6455 §3).
//!
//! Knows URLs; what is said to the server, and how it is reached, are others' business.

use std::fmt;
use std::path::PathBuf;

use url::{Position, Url};

use super::credentials::{Credentials, without_password};
use super::redirect::RedirectError;
use crate::error::Error;

/// A server and what is wanted from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `ws` or `wss`, with a host, without userinfo and fragment. For a Unix socket the host is
    /// `localhost`.
    url: Url,
    /// The Unix socket that stands for the host.
    socket: Option<PathBuf>,
}

/// What a socket is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The host as it is in a URL: an IPv6 address is in brackets.
    Tcp {
        host: String,
        port: u16,
    },
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

impl Address {
    /// From `ws://`, `wss://`, `ws+unix:` or `wss+unix:`, and the credentials in it.
    pub(crate) fn parse(text: &str) -> Result<(Self, Option<Credentials>), Error> {
        let invalid = |problem: &str| Error::invalid(without_password(text), problem);
        let unix = |scheme: &str, rest: &str| {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (path, target) = rest.split_once(':').unwrap_or((rest, "/"));
            if path.is_empty() || !target.starts_with('/') {
                return Err(invalid(
                    "write ws+unix:/path/of/socket or ws+unix:/path/of/socket:/path?query",
                ));
            }
            Ok((format!("{scheme}://localhost{target}"), Some(path.into())))
        };
        let (url, socket) = if let Some(rest) = text.strip_prefix("ws+unix:") {
            unix("ws", rest)?
        } else if let Some(rest) = text.strip_prefix("wss+unix:") {
            unix("wss", rest)?
        } else {
            (text.to_owned(), None)
        };
        let mut url = Url::parse(&url).map_err(|error| {
            invalid(&format!(
                "{error}; write for example ws://127.0.0.1:7681/echo"
            ))
        })?;
        if !matches!(url.scheme(), "ws" | "wss") {
            let scheme = url.scheme();
            return Err(invalid(&format!(
                "the scheme {scheme} is neither ws:// nor wss://"
            )));
        }
        if url.fragment().is_some() {
            return Err(invalid("a fragment (#...) has no place here (RFC 6455 §3)"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("there is no host in it"));
        }
        let credentials = Credentials::from_url(&url)?;
        strip_userinfo(&mut url);
        Ok((Self { url, socket }, credentials))
    }

    /// Where a redirect leads to (RFC 9110 §10.2.2).
    pub(crate) fn join(&self, location: &str) -> Result<Self, RedirectError> {
        let mut url = self
            .url
            .join(location)
            .map_err(|error| RedirectError::Location(error.to_string()))?;
        // As fetch does: the schemes of the first request and of the upgraded one are the same
        // thing to a server.
        let scheme = match url.scheme() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            other => return Err(RedirectError::Scheme(other.to_owned())),
        };
        if url.set_scheme(scheme).is_err() || url.host_str().is_none_or(str::is_empty) {
            return Err(RedirectError::Location("there is no host in it".to_owned()));
        }
        if self.is_secure() && scheme == "ws" {
            return Err(RedirectError::Downgrade);
        }
        url.set_fragment(None);
        // Whoever redirects has no say in who somebody is elsewhere.
        strip_userinfo(&mut url);
        let mut joined = Self { url, socket: None };
        if joined.is_same_origin(self) {
            joined.socket.clone_from(&self.socket);
        }
        Ok(joined)
    }

    /// Whether both are the same scheme, host and port (RFC 6454 §4).
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        let origin = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default());
        origin(&self.url) == origin(&other.url) && self.url.host() == other.url.host()
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.url.scheme() == "wss"
    }

    /// The host as it is in the URL: an IPv6 address is in brackets.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    pub(crate) fn destination(&self) -> Destination {
        match &self.socket {
            Some(path) => Destination::Unix(path.clone()),
            None => Destination::Tcp {
                host: self.host().to_owned(),
                port: self.port(),
            },
        }
    }

    /// The value of the Host header: without the port if that is the scheme's (RFC 6455 §4.1).
    pub(crate) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => {
                let (scheme, path) = (self.url.scheme(), path.display());
                write!(f, "{scheme}+unix:{path}:{}", self.target())
            }
            None => self.url.fmt(f),
        }
    }
}

fn strip_userinfo(url: &mut Url) {
    // Both fail only for URLs without a host, which have no userinfo either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap().0
    }

    #[test]
    fn parts() {
        for (text, destination, authority, target, secure) in [
            (
                "ws://Example.test",
                "example.test:80",
                "example.test",
                "/",
                false,
            ),
            (
                "wss://example.test:444/a?b=c",
                "example.test:444",
                "example.test:444",
                "/a?b=c",
                true,
            ),
            (
                "wss://example.test:443/",
                "example.test:443",
                "example.test",
                "/",
                true,
            ),
            ("ws://[::1]:81/x", "[::1]:81", "[::1]:81", "/x", false),
            (
                "ws+unix:/run/a.sock",
                "unix:/run/a.sock",
                "localhost",
                "/",
                false,
            ),
            (
                "ws+unix:///run/a.sock:/b?c",
                "unix:/run/a.sock",
                "localhost",
                "/b?c",
                false,
            ),
            ("wss+unix:a.sock:/b", "unix:a.sock", "localhost", "/b", true),
        ] {
            let address = address(text);
            assert_eq!(address.destination().to_string(), destination);
            assert_eq!(address.authority(), authority);
            assert_eq!(address.target(), target);
            assert_eq!(address.is_secure(), secure);
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "example.test",
            "http://a/",
            "ws://",
            "ws://a:70000/",
            "ws://a/#f",
            "ws+unix:",
            "ws+unix:/a:b",
            "ws://a b/",
            "ftp+unix:/a",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn errors_show_no_password() {
        for text in [
            "http://user:secret@a/",
            "ws://user:secret@a/#f",
            "ws://user:secret@a:70000/",
        ] {
            assert!(
                !Address::parse(text)
                    .unwrap_err()
                    .to_string()
                    .contains("secret")
            );
        }
    }

    #[test]
    fn userinfo_becomes_credentials() {
        let (address, credentials) = Address::parse("ws://user:secret@a/").unwrap();
        assert_eq!(address.to_string(), "ws://a/");
        assert_eq!(credentials.unwrap().password, "secret");
    }

    #[test]
    fn joined() {
        for (base, location, joined) in [
            ("ws://a/b/c?d", "e", "ws://a/b/e"),
            ("ws://a/b", "/c?d", "ws://a/c?d"),
            ("ws://a/b", "//c/d", "ws://c/d"),
            ("ws://a/b", "?q", "ws://a/b?q"),
            ("ws://a/b", "https://c/d#e", "wss://c/d"),
            ("wss://a/b", "https://u:p@c/", "wss://c/"),
            ("wss://a/b", "//c", "wss://c/"),
            ("ws+unix:/s:/b", "/c", "ws+unix:/s:/c"),
            ("ws+unix:/s:/b", "http://localhost/c", "ws+unix:/s:/c"),
            (
                "ws+unix:/s:/b",
                "ws://localhost:81/c",
                "ws://localhost:81/c",
            ),
        ] {
            assert_eq!(
                address(base).join(location).unwrap().to_string(),
                joined,
                "{location}"
            );
        }
    }

    #[test]
    fn not_joined() {
        let from = address("wss://a/b");
        assert_eq!(from.join("http://a/b"), Err(RedirectError::Downgrade));
        assert_eq!(from.join("ws://a/b"), Err(RedirectError::Downgrade));
        for (location, scheme) in [("file:///x", "file"), ("javascript:alert(1)", "javascript")] {
            assert_eq!(
                from.join(location),
                Err(RedirectError::Scheme(scheme.to_owned()))
            );
        }
        for location in ["https://", "https://a:70000/", "//[::1"] {
            assert!(
                matches!(from.join(location), Err(RedirectError::Location(_))),
                "{location}"
            );
        }
    }

    #[test]
    fn origins() {
        let same = |a, b| address(a).is_same_origin(&address(b));
        assert!(same("ws://a/x", "ws://A:80/y"));
        assert!(!same("ws://a/", "wss://a/"));
        assert!(!same("ws://a/", "ws://a:81/"));
        assert!(!same("ws://a/", "ws://b/"));
    }
}
