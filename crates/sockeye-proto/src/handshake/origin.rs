//! Which pages may connect: the defence against cross-site WebSocket hijacking
//! (RFC 6455 §10.2).
//!
//! Browsers always send Origin with a handshake and let no script change it; other programs
//! may send what they want, so a policy protects users of browsers and nobody else.

use crate::http::{Request, split_authority};

/// Which Origin a handshake may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// None, or one with the host and port of the request: the pages of this very server.
    #[default]
    Same,
    /// Any: for services that do not know their users by cookies or by address.
    Any,
    /// None, or exactly one of these, such as `https://example.org` (as browsers write it: in
    /// lower case, without the default port, without a slash at the end).
    List(Vec<String>),
}

impl OriginPolicy {
    /// Whether this request may connect.
    ///
    /// ```
    /// use sockeye_proto::{Limits, handshake::OriginPolicy, http::Request};
    ///
    /// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\nOrigin: https://b.example\r\n\r\n";
    /// let (request, _) = Request::parse(head, &Limits::default()).unwrap().unwrap();
    /// assert!(!OriginPolicy::Same.allows(&request));
    /// assert!(OriginPolicy::List(vec!["https://b.example".into()]).allows(&request));
    /// ```
    pub fn allows(&self, request: &Request<'_>) -> bool {
        self.allows_in("origin", request)
    }

    /// As [`allows`](Self::allows), for the origin in this header.
    pub(super) fn allows_in(&self, header: &str, request: &Request<'_>) -> bool {
        if *self == Self::Any {
            return true;
        }
        let mut origins = request.values(header);
        let Some(origin) = origins.next() else {
            return true;
        };
        if origins.next().is_some() {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Same => {
                str::from_utf8(origin).is_ok_and(|origin| is_same(origin, request.host()))
            }
            Self::List(allowed) => allowed
                .iter()
                .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}

/// Whether an origin names this host and port. The server cannot know which scheme the client
/// used, a TLS proxy may be between; so the origin's scheme says what port is the default.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default = if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws") {
        80
    } else if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss") {
        443
    } else {
        return false;
    };
    let (Some((origin, origin_port)), Some((host, host_port))) =
        (split_authority(authority), split_authority(host))
    else {
        return false;
    };
    origin.eq_ignore_ascii_case(host)
        && origin_port.unwrap_or(default) == host_port.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_origin() {
        for (origin, host, same) in [
            ("http://example.org", "example.org", true),
            ("https://example.org", "example.org", true),
            ("http://EXAMPLE.org", "example.ORG", true),
            ("http://example.org", "example.org:80", true),
            ("http://example.org:80", "example.org", true),
            ("https://example.org:443", "example.org", true),
            ("https://example.org", "example.org:443", true),
            ("http://localhost:7681", "localhost:7681", true),
            ("http://[::1]:7681", "[::1]:7681", true),
            ("http://example.org", "example.org:443", false),
            ("https://example.org", "example.org:80", false),
            ("http://example.org:8080", "example.org", false),
            ("http://example.org", "example.org:8080", false),
            ("http://example.org.evil", "example.org", false),
            ("http://evil-example.org", "example.org", false),
            ("http://example.org@evil", "example.org", false),
            ("http://example.org/", "example.org", false),
            ("example.org", "example.org", false),
            ("null", "null", false),
            ("", "example.org", false),
            ("file://", "example.org", false),
            ("chrome-extension://example.org", "example.org", false),
            ("http://example.org", "", false),
        ] {
            assert_eq!(is_same(origin, host), same, "{origin} {host}");
        }
    }
}
