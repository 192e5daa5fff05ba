//! Response heads that we write, and the bytes of them.
//!
//! Knows no connection: how a body is framed and whether the connection stays is
//! [`Server`](super::Server)'s decision. Invariant: no CR, LF or NUL gets into a head, by the
//! types of the `http` crate (CWE-113).

use ::http::header::{HeaderName, HeaderValue};
use ::http::{HeaderMap, StatusCode};

/// Status and headers of a response, without those that frame it: the machine adds
/// Content-Length, Transfer-Encoding and Connection.
///
/// ```
/// use http::{HeaderValue, StatusCode, header};
/// use sockeye_proto::http::ResponseHead;
///
/// let head = ResponseHead::new(StatusCode::OK)
///     .header(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
/// assert_eq!(head.status, 200);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The headers; `close` in Connection makes the connection close, any other framing header
    /// is left out.
    pub headers: HeaderMap,
}

impl ResponseHead {
    /// Without headers.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
        }
    }

    /// With one more header of this name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// What body follows a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlan {
    /// None: `Content-Length: 0` where a body would be possible.
    None,
    /// Exactly so many bytes.
    Known(u64),
    /// As many as will come: chunked for HTTP/1.1, until the connection closes for HTTP/1.0.
    Stream,
}

/// `HTTP/1.1 STATUS REASON CRLF`. The version is ours, whatever the client's
/// (RFC 9110 §6.2).
pub(crate) fn write_status(status: StatusCode, output: &mut Vec<u8>) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_str().as_bytes());
    output.push(b' ');
    output.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// `Name: value CRLF`.
pub(crate) fn write_field(name: &HeaderName, value: &[u8], output: &mut Vec<u8>) {
    write_name(name, output);
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// Names are case-insensitive, but not for every old peer: write them as the RFCs do.
fn write_name(name: &HeaderName, output: &mut Vec<u8>) {
    let parts = name.as_str().as_bytes().split(|&byte| byte == b'-');
    for (index, part) in parts.enumerate() {
        if index > 0 {
            output.push(b'-');
        }
        match part {
            b"websocket" => output.extend_from_slice(b"WebSocket"),
            b"etag" => output.extend_from_slice(b"ETag"),
            b"www" => output.extend_from_slice(b"WWW"),
            _ => {
                let start = output.len();
                output.extend_from_slice(part);
                if let Some(first) = output.get_mut(start) {
                    first.make_ascii_uppercase();
                }
            }
        }
    }
}

/// A decimal number.
pub(crate) fn write_decimal(value: u64, output: &mut Vec<u8>) {
    // Twenty digits are the longest u64.
    let mut digits = [0; 20];
    let mut rest = value;
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start = index;
        if rest == 0 {
            break;
        }
    }
    output.extend_from_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_rfcs_do() {
        for (name, expected) in [
            ("sec-websocket-accept", "Sec-WebSocket-Accept"),
            ("etag", "ETag"),
            ("www-authenticate", "WWW-Authenticate"),
            ("content-type", "Content-Type"),
            ("x--y", "X--Y"),
        ] {
            let mut output = Vec::new();
            write_name(
                &HeaderName::from_bytes(name.as_bytes()).unwrap(),
                &mut output,
            );
            assert_eq!(String::from_utf8(output).unwrap(), expected);
        }
    }

    #[test]
    fn decimals() {
        for value in [0, 7, 10, 1234567890, u64::MAX] {
            let mut output = Vec::new();
            write_decimal(value, &mut output);
            assert_eq!(String::from_utf8(output).unwrap(), value.to_string());
        }
    }

    #[test]
    fn values_with_line_ends_do_not_exist() {
        for value in ["a\rb", "a\nb", "a\0b"] {
            assert!(HeaderValue::from_str(value).is_err());
            assert!(HeaderName::from_bytes(value.as_bytes()).is_err());
        }
    }
}
