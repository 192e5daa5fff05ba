//! The part of a request that matters to files.
//!
//! Knows which header fields decide about a file. Refuses to know how requests are parsed, so
//! that tests and other front ends can make one from text.
//!
//! Invariant: a field sent in several lines is seen as one list (RFC 9110 §5.3), so that no line
//! is overlooked; a field that may be sent once only, sent twice, then does not parse and is
//! ignored.

use std::borrow::Cow;
use std::time::SystemTime;

/// What [`Files`](super::Files) look at in a request.
///
/// ```
/// use std::time::SystemTime;
/// use sockeye::FileRequest;
///
/// let headers = [("Range", &b"bytes=0-99"[..]), ("If-Range", b"\"v1\"")];
/// let request = FileRequest::new("GET", "/static/logo.png", SystemTime::now())
///     .with_query(Some("v=2"))
///     .with_headers(headers)
///     .below("/static");
/// # let _ = request;
/// ```
#[derive(Clone, Debug)]
pub struct FileRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) mount: &'a str,
    pub(super) now: SystemTime,
    pub(super) accept_encoding: Option<Cow<'a, str>>,
    pub(super) if_match: Option<Cow<'a, str>>,
    pub(super) if_modified_since: Option<Cow<'a, str>>,
    pub(super) if_none_match: Option<Cow<'a, str>>,
    pub(super) if_range: Option<Cow<'a, str>>,
    pub(super) if_unmodified_since: Option<Cow<'a, str>>,
    pub(super) range: Option<Cow<'a, str>>,
}

impl<'a> FileRequest<'a> {
    /// A request without query and header fields. `path` is the target's path as it was sent,
    /// percent-encoded and with its leading slash; `now` is the time that the response is dated
    /// with.
    #[must_use]
    pub fn new(method: &'a str, path: &'a str, now: SystemTime) -> Self {
        Self {
            method,
            path,
            query: None,
            mount: "/",
            now,
            accept_encoding: None,
            if_match: None,
            if_modified_since: None,
            if_none_match: None,
            if_range: None,
            if_unmodified_since: None,
            range: None,
        }
    }

    /// With the query of the target, as it was sent, without its `?`.
    #[must_use]
    pub fn with_query(mut self, query: Option<&'a str>) -> Self {
        self.query = query;
        self
    }

    /// With header fields: names in any case, values as sent. Those that mean nothing to files
    /// are skipped.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        for (name, value) in headers {
            if let Some(field) = self.field(name) {
                // Bytes beyond ASCII can be in no validator of ours, so a replacement character
                // in their place changes no comparison.
                let value = String::from_utf8_lossy(value);
                *field = Some(match field.take() {
                    None => value,
                    Some(before) => Cow::Owned(format!("{before}, {value}")),
                });
            }
        }
        self
    }

    /// The files are mounted at this path (empty or `/`: at the root): it is taken off before a
    /// name is looked up, and kept in redirects. A request for another path is 404.
    #[must_use]
    pub fn below(mut self, mount: &'a str) -> Self {
        self.mount = mount;
        self
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        let fields = [
            ("accept-encoding", &mut self.accept_encoding),
            ("if-match", &mut self.if_match),
            ("if-modified-since", &mut self.if_modified_since),
            ("if-none-match", &mut self.if_none_match),
            ("if-range", &mut self.if_range),
            ("if-unmodified-since", &mut self.if_unmodified_since),
            ("range", &mut self.range),
        ];
        fields
            .into_iter()
            .find_map(|(known, field)| known.eq_ignore_ascii_case(name).then_some(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_field_are_one_list_and_others_are_skipped() {
        let headers = [
            ("If-None-Match", &b"\"a\""[..]),
            ("Host", b"example.org"),
            ("IF-NONE-MATCH", b"\"b\""),
            ("range", b"bytes=0-\xff"),
        ];
        let request = FileRequest::new("GET", "/", SystemTime::UNIX_EPOCH).with_headers(headers);
        assert_eq!(request.if_none_match.as_deref(), Some("\"a\", \"b\""));
        assert_eq!(request.range.as_deref(), Some("bytes=0-\u{fffd}"));
        assert_eq!(request.if_match, None);
    }
}
