//! Request targets (RFC 9112 §3.2) and authorities (RFC 9110 §7.2).
//!
//! Decodes nothing: `%` escapes are the business of whoever opens files. Invariant: what is
//! accepted here has one reading.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::error::HttpError;

/// Where the parts of a target are, as ranges of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Only of the absolute form: it wins over Host.
    pub(crate) authority: Option<Range<usize>>,
    /// Empty when an absolute target names no path: that means `/`.
    pub(crate) path: Range<usize>,
    pub(crate) query: Option<Range<usize>>,
}

impl Target {
    pub(crate) fn parse(method: &str, target: &str) -> Result<Self, HttpError> {
        let (authority, rest) = if target.starts_with('/') {
            (None, 0)
        } else if target == "*" {
            // RFC 9112 §3.2.4: the asterisk form is for OPTIONS only.
            if method != "OPTIONS" {
                return Err(HttpError::Target);
            }
            (None, 0)
        } else {
            let (scheme, hier) = target.split_once("://").ok_or(HttpError::Target)?;
            if !["http", "https", "ws", "wss"]
                .iter()
                .any(|s| scheme.eq_ignore_ascii_case(s))
            {
                return Err(HttpError::Target);
            }
            let start = scheme.len() + "://".len();
            let end = start + hier.find(['/', '?']).unwrap_or(hier.len());
            if !target.get(start..end).is_some_and(is_authority) {
                return Err(HttpError::Target);
            }
            (Some(start..end), end)
        };
        let tail = target.get(rest..).unwrap_or_default();
        let (path, query) = match tail.find('?') {
            Some(mark) => (rest..rest + mark, Some(rest + mark + 1..target.len())),
            None => (rest..target.len(), None),
        };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

/// Whether this is `uri-host [":" port]` with a host that is not empty (RFC 9110 §4.2.1, §7.2).
pub(crate) fn is_authority(text: &str) -> bool {
    split_authority(text).is_some()
}

/// Host and port of an authority; `None` if it is not a valid one. An empty port is no port.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let end = rest.find(']')?;
        rest.get(..end)?.parse::<Ipv6Addr>().ok()?;
        let host = text.get(..end + 2)?;
        let tail = text.get(end + 2..)?;
        if tail.is_empty() {
            (host, "")
        } else {
            (host, tail.strip_prefix(':')?)
        }
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if !is_reg_name(host.as_bytes()) {
            return None;
        }
        (host, port)
    };
    if port.is_empty() {
        return Some((host, None));
    }
    // `parse` alone would take a sign.
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(port.parse().ok()?)))
}

/// RFC 3986 §3.2.2 `reg-name`, which also covers IPv4, but not empty.
fn is_reg_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        let valid = match byte {
            b'%' => {
                bytes.next().is_some_and(u8::is_ascii_hexdigit)
                    && bytes.next().is_some_and(u8::is_ascii_hexdigit)
            }
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            byte => byte.is_ascii_alphanumeric(),
        };
        if !valid {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (text, expected) in [
            ("example.org", Some(("example.org", None))),
            ("example.org:", Some(("example.org", None))),
            ("example.org:80", Some(("example.org", Some(80)))),
            ("127.0.0.1:65535", Some(("127.0.0.1", Some(65535)))),
            ("[::1]:8080", Some(("[::1]", Some(8080)))),
            ("[::1]", Some(("[::1]", None))),
            ("ex%41mple_1", Some(("ex%41mple_1", None))),
            ("", None),
            (":80", None),
            ("a:65536", None),
            ("a:+80", None),
            ("a:8o", None),
            ("a:80:90", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]8080", None),
            ("[zz]", None),
            ("[]", None),
            ("user@host", None),
            ("a b", None),
            ("a/b", None),
            ("ex%4", None),
            ("ex%zz", None),
            ("h\u{e9}", None),
        ] {
            assert_eq!(split_authority(text), expected, "{text}");
        }
    }

    #[test]
    fn targets() {
        let parse = |method, target: &'static str| {
            let parsed = Target::parse(method, target)?;
            let part = |range: Range<usize>| target.get(range).unwrap();
            Ok((
                parsed.authority.map(part),
                part(parsed.path),
                parsed.query.map(part),
            ))
        };
        let bad = Err(HttpError::Target);
        for (method, target, expected) in [
            ("GET", "/", Ok((None, "/", None))),
            ("GET", "/a?b?c", Ok((None, "/a", Some("b?c")))),
            ("GET", "/a?", Ok((None, "/a", Some("")))),
            ("GET", "//x/y", Ok((None, "//x/y", None))),
            ("GET", "/http://x/", Ok((None, "/http://x/", None))),
            ("GET", "http://h", Ok((Some("h"), "", None))),
            ("GET", "http://h?q", Ok((Some("h"), "", Some("q")))),
            ("GET", "WS://h:1/p?q", Ok((Some("h:1"), "/p", Some("q")))),
            ("OPTIONS", "*", Ok((None, "*", None))),
            ("GET", "*", bad),
            ("OPTIONS", "**", bad),
            ("GET", "example.org:80", bad),
            ("GET", "a/b", bad),
            ("GET", "http:///a", bad),
            ("GET", "http://u@h/", bad),
            ("GET", "ftp://h/", bad),
            ("GET", "?q", bad),
        ] {
            assert_eq!(parse(method, target), expected, "{method} {target}");
        }
    }
}
