//! A parsed response head: what a server answered to our client.
//!
//! Knows one head; what it should have been is the handshake's business. As strict as the
//! request side.

use ::http::header::{HeaderName, HeaderValue};
use ::http::{HeaderMap, StatusCode, header};

use super::body::{content_length, is_chunked};
use super::error::HttpError;
use super::request::Version;
use super::scan::Scanner;
use super::token::elements;

/// How the body of a response is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyBody {
    None,
    Known(u64),
    Chunked,
    UntilClose,
    /// Nobody can say where it ends.
    Unclear,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ReplyBody,
}

impl Reply {
    /// From a whole head that `scanner` went over. The request was a GET.
    pub(crate) fn from_head(head: &[u8], scanner: &Scanner) -> Result<Self, HttpError> {
        let end = head
            .iter()
            .position(|&byte| byte == b'\r')
            .ok_or(HttpError::StatusLine)?;
        let (version, status) = parse_status(head.get(..end).unwrap_or_default())?;
        let mut fields = vec![httparse::EMPTY_HEADER; scanner.field_count()];
        let lines = head.get(end + 2..).unwrap_or_default();
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(lines, &mut fields)
        else {
            return Err(HttpError::FieldName);
        };
        let mut headers = HeaderMap::with_capacity(fields.len());
        for field in fields.iter() {
            let name =
                HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HttpError::FieldName)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| HttpError::Control)?;
            headers.append(name, value);
        }
        let body = body_of(version, status, &headers);
        Ok(Self {
            version,
            status,
            headers,
            body,
        })
    }

    /// The values of all headers of this name.
    pub(crate) fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    /// The elements of the list that these headers make together.
    pub(crate) fn elements(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.values(name).flat_map(elements)
    }
}

/// `version SP 3DIGIT [SP reason]`: servers that leave out the last blank are many.
fn parse_status(line: &[u8]) -> Result<(Version, StatusCode), HttpError> {
    let (version, rest) = line.split_at_checked(8).ok_or(HttpError::StatusLine)?;
    let version = Version::parse(version)?.ok_or(HttpError::StatusLine)?;
    let (code, reason) = rest.split_at_checked(4).ok_or(HttpError::StatusLine)?;
    let [b' ', digits @ ..] = code else {
        return Err(HttpError::StatusLine);
    };
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
        return Err(HttpError::StatusLine);
    }
    let status = StatusCode::from_bytes(digits).map_err(|_| HttpError::StatusLine)?;
    Ok((version, status))
}

fn body_of(version: Version, status: StatusCode, headers: &HeaderMap) -> ReplyBody {
    if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
        return ReplyBody::None;
    }
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let chunked = is_chunked(values(header::TRANSFER_ENCODING));
    let length = content_length(values(header::CONTENT_LENGTH));
    match (chunked, length) {
        (Ok(true), Ok(None)) if version == Version::Http11 => ReplyBody::Chunked,
        (Ok(false), Ok(Some(length))) => ReplyBody::Known(length),
        (Ok(false), Ok(None)) => ReplyBody::UntilClose,
        _ => ReplyBody::Unclear,
    }
}
