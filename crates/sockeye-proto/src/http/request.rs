//! A parsed request head.
//!
//! Knows what a single request means by itself: target, host, header values, how its body is
//! framed, whether it wants to upgrade. Knows no connection and no other request.
//!
//! Invariant: a `Request` that exists passed every check of RFC 9112 §3, §5 and §6 that one head
//! allows, so its users need not check again.

use std::ops::Range;
use std::str;

use super::body::BodyLength;
use super::error::HttpError;
use super::method;
use super::scan::Scanner;
use super::target::{Target, is_authority};
use super::token::{elements, is_token};
use crate::{Bytes, Limits};

/// The versions that are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no persistent connection unless asked for, no chunked coding, no upgrade.
    Http10,
    /// HTTP/1.1, and any later 1.x (RFC 9110 §2.5).
    Http11,
}

impl Version {
    /// RFC 9112 §2.3: `HTTP/` DIGIT `.` DIGIT, in capitals.
    pub(crate) fn parse(text: &[u8]) -> Result<Option<Self>, HttpError> {
        match text {
            b"HTTP/1.0" => Ok(Some(Self::Http10)),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
                Ok(Some(Self::Http11))
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(HttpError::Version)
            }
            _ => Ok(None),
        }
    }
}

/// A piece of the head.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Self {
        // A head is bounded by `u32` in `Scanner`.
        Self {
            start: range.start as u32,
            len: range.len() as u32,
        }
    }

    /// Of a piece that is a part of `head`.
    fn within(head: &[u8], piece: &[u8]) -> Self {
        let start = (piece.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
        Self::new(start..start + piece.len())
    }

    fn of(self, head: &[u8]) -> &[u8] {
        let start = self.start as usize;
        head.get(start..start + self.len as usize)
            .unwrap_or_default()
    }

    fn text(self, head: &[u8]) -> &str {
        str::from_utf8(self.of(head)).unwrap_or_default()
    }
}

/// A request head: what was asked, of whom, and how a body will follow.
///
/// It borrows the input, or owns its bytes when they were split over reads.
///
/// ```
/// use sockeye_proto::{Limits, http::Request};
///
/// let bytes = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.org\r\n\r\n";
/// let (request, len) = Request::parse(bytes, &Limits::default()).unwrap().unwrap();
/// assert_eq!((request.path(), request.query(), len), ("/chat", Some("room=1"), bytes.len()));
/// ```
#[derive(Debug)]
pub struct Request<'b> {
    head: Bytes<'b>,
    fields: Vec<(Span, Span)>,
    method: Span,
    target: Span,
    path: Span,
    query: Option<Span>,
    host: Span,
    version: Version,
    body: BodyLength,
    upgrade: bool,
    expects_continue: bool,
    /// What hixie-76 sends behind the head.
    #[cfg(feature = "drafts")]
    pub(super) challenge: Option<[u8; 8]>,
}

impl<'b> Request<'b> {
    /// Parses the head at the front of `bytes`: the request and the length of its head, or
    /// `None` when the head does not end in them. For tests and for callers with a whole head;
    /// a connection uses [`Server`](super::Server), which never looks at a byte twice.
    ///
    /// # Errors
    /// What is wrong with the head, or the limit that it exceeds.
    pub fn parse(bytes: &'b [u8], limits: &Limits) -> Result<Option<(Self, usize)>, HttpError> {
        let mut scanner = Scanner::request();
        let Some(len) = scanner.scan(bytes, limits)? else {
            return Ok(None);
        };
        let head = Bytes::Borrowed(bytes.get(..len).unwrap_or_default());
        Ok(Some((Self::from_head(head, &scanner)?, len)))
    }

    /// From a whole head that `scanner` went over.
    pub(crate) fn from_head(head: Bytes<'b>, scanner: &Scanner) -> Result<Self, HttpError> {
        let bytes: &[u8] = &head;
        // The scanner let one empty line pass, of which a part may not have been kept.
        let lead = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let line_end = bytes
            .get(lead..)
            .and_then(|rest| rest.iter().position(|&byte| byte == b'\r'))
            .ok_or(HttpError::RequestLine)?;
        let line = bytes.get(lead..lead + line_end).unwrap_or_default();
        let line = str::from_utf8(line).map_err(|_| HttpError::RequestLine)?;
        let mut parts = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HttpError::RequestLine);
        };
        let version = Version::parse(version.as_bytes())?.ok_or(HttpError::RequestLine)?;
        if !method::is_implemented(method) {
            return Err(HttpError::Method);
        }
        let parts = Target::parse(method, target)?;
        let target_start = lead + method.len() + 1;
        let at =
            |range: Range<usize>| Span::new(target_start + range.start..target_start + range.end);
        let fields = parse_fields(bytes, lead + line_end + 2, scanner.field_count())?;
        let mut request = Self {
            fields,
            method: Span::new(lead..lead + method.len()),
            target: at(0..target.len()),
            path: at(parts.path),
            query: parts.query.map(at),
            host: Span::default(),
            version,
            body: BodyLength::None,
            upgrade: false,
            expects_continue: false,
            #[cfg(feature = "drafts")]
            challenge: None,
            head,
        };
        request.host = match (request.checked_host()?, parts.authority) {
            (_, Some(authority)) => at(authority),
            (host, None) => host,
        };
        request.body = BodyLength::of_request(&request)?;
        request.expects_continue = request.checked_expectation()?;
        // RFC 9110 §7.8: Upgrade of an HTTP/1.0 request is ignored.
        request.upgrade = version == Version::Http11
            && request.method() == "GET"
            && request.has_token("upgrade", "websocket")
            && request.has_token("connection", "upgrade");
        Ok(request)
    }

    /// RFC 9112 §3.2: exactly one valid Host, which only HTTP/1.0 may omit.
    fn checked_host(&self) -> Result<Span, HttpError> {
        let mut hosts = self.spans("host");
        let Some(host) = hosts.next() else {
            return match self.version {
                Version::Http10 => Ok(Span::default()),
                Version::Http11 => Err(HttpError::HostMissing),
            };
        };
        if hosts.next().is_some() {
            return Err(HttpError::HostRepeated);
        }
        if !is_authority(host.text(&self.head)) {
            return Err(HttpError::HostInvalid);
        }
        Ok(host)
    }

    /// RFC 9110 §10.1.1: `100-continue` is the only expectation, and HTTP/1.0 has none.
    fn checked_expectation(&self) -> Result<bool, HttpError> {
        if self.version == Version::Http10 {
            return Ok(false);
        }
        let mut expects = false;
        for element in self.values("expect").flat_map(elements) {
            if !element.eq_ignore_ascii_case(b"100-continue") {
                return Err(HttpError::Expectation);
            }
            expects = true;
        }
        Ok(expects)
    }

    /// The same request with bytes of its own, so that it outlives the input.
    pub fn into_owned(self) -> Request<'static> {
        Request {
            head: self.head.into_owned(),
            ..self
        }
    }
}

impl Request<'_> {
    /// The method, as sent (methods are case-sensitive).
    pub fn method(&self) -> &str {
        self.method.text(&self.head)
    }

    /// The target, as sent.
    pub fn target(&self) -> &str {
        self.target.text(&self.head)
    }

    /// The path of the target without its query, escapes not decoded. Begins with `/`, unless
    /// it is the `*` of `OPTIONS *`.
    pub fn path(&self) -> &str {
        match self.path.text(&self.head) {
            "" => "/",
            path => path,
        }
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|query| query.text(&self.head))
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The authority of the target when it has one, else Host. Empty only for an HTTP/1.0
    /// request with neither.
    pub fn host(&self) -> &str {
        self.host.text(&self.head)
    }

    /// All headers in the order sent, blanks around values removed.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.text(&self.head), value.of(&self.head)))
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// As [`header`](Self::header), when the value is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header(name)?).ok()
    }

    /// The values of all headers of this name, in the order sent.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.spans(name).map(|span| span.of(&self.head))
    }

    /// Whether the list that the headers of this name make together has this token, in any
    /// case (RFC 9110 §5.6.1). `noupgrade` does not have `upgrade`.
    pub fn has_token(&self, header: &str, token: &str) -> bool {
        self.values(header)
            .flat_map(elements)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// How the body is framed.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether this asks to become a WebSocket: GET, HTTP/1.1, `Upgrade: websocket` and
    /// `Connection: upgrade`. Whether it does so correctly is for
    /// [`Accept`](crate::handshake::Accept) to say.
    pub fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    /// The subprotocols offered, in the client's order of preference. What is no token is left
    /// out (RFC 6455 §4.1, item 10).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.values("sec-websocket-protocol")
            .flat_map(elements)
            .filter(|element| is_token(element))
            .filter_map(|element| str::from_utf8(element).ok())
    }

    /// The first Origin header, when it is UTF-8.
    pub fn origin(&self) -> Option<&str> {
        self.header_str("origin")
    }

    /// The version of the WebSocket protocol that this asks for; `None` if it is none that is known
    /// here. A request that names none asks for hixie-76 if it has a key of it.
    #[cfg(feature = "drafts")]
    pub fn websocket_version(&self) -> Option<crate::Version> {
        let mut versions = self.values("sec-websocket-version");
        match (versions.next(), versions.next()) {
            (Some(version), None) => crate::Version::from_header(version),
            (None, _) if self.header("sec-websocket-key1").is_some() => {
                Some(crate::Version::Hixie76)
            }
            _ => None,
        }
    }

    /// The eight bytes behind the head of a hixie-76 handshake: there if the
    /// [`Server`](super::Server) was told to look for them.
    #[cfg(feature = "drafts")]
    pub fn challenge(&self) -> Option<&[u8; 8]> {
        self.challenge.as_ref()
    }

    /// The value of a header that is there once, with the blanks behind it.
    #[cfg(feature = "drafts")]
    pub(crate) fn value_to_line_end(&self, name: &str) -> Option<&[u8]> {
        let mut spans = self.spans(name);
        let span = spans.next().filter(|_| spans.next().is_none())?;
        let rest = self.head.get(span.start as usize..)?;
        rest.split(|&byte| byte == b'\r').next()
    }

    /// The bytes of the head.
    #[cfg(feature = "drafts")]
    pub(super) fn into_head(self) -> Vec<u8> {
        self.head.into_vec()
    }

    fn spans(&self, name: &str) -> impl Iterator<Item = Span> {
        self.fields
            .iter()
            .filter(move |field| {
                // Nearly all differ in length, and each name is looked for several times.
                field.0.len as usize == name.len()
                    && field.0.of(&self.head).eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|field| field.1)
    }
}

/// Splits the header lines from `start` on. The scanner was stricter than `httparse` is, so this
/// only cuts; should they ever disagree, the request is refused.
fn parse_fields(head: &[u8], start: usize, count: usize) -> Result<Vec<(Span, Span)>, HttpError> {
    // Most requests have fewer headers than this, and then nothing is allocated for the split.
    const USUAL: usize = 32;
    let mut usual = [httparse::EMPTY_HEADER; USUAL];
    let mut many = Vec::new();
    let slots = if count <= USUAL {
        &mut usual[..]
    } else {
        many.resize(count, httparse::EMPTY_HEADER);
        &mut many[..]
    };
    let lines = head.get(start..).unwrap_or_default();
    match httparse::parse_headers(lines, slots) {
        Ok(httparse::Status::Complete((len, fields)))
            if len == lines.len() && fields.len() == count =>
        {
            let span = |piece| Span::within(head, piece);
            Ok(fields
                .iter()
                .map(|field| (span(field.name.as_bytes()), span(field.value)))
                .collect())
        }
        _ => Err(HttpError::FieldName),
    }
}
