//! A response as a value: status, header fields, body.
//!
//! Knows how to build the common ones, error pages included. Refuses to know the request it
//! answers: the same value answers GET and HEAD, and the writer leaves the body away for HEAD.
//!
//! Invariants: the fields that frame the message on the wire never come from here; whatever text
//! ends up in an error page is escaped.

use std::error::Error;
use std::fmt;

use ::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
    UPGRADE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::Body;

/// The answer to one HTTP request (RFC 9110 §6).
///
/// `Content-Length`, `Transfer-Encoding` and `Date` do not belong into [`headers`](Self::headers):
/// the engine derives them from the body and its clock.
///
/// ```
/// use http::StatusCode;
/// use sockeye::Response;
///
/// let response = Response::text("pong").header("Cache-Control", "no-store")?;
/// assert_eq!(response.status, StatusCode::OK);
/// assert_eq!(response.body.len(), Some(4));
/// assert_eq!(response.headers["content-type"], "text/plain; charset=utf-8");
///
/// // Header injection is an error, not a second header.
/// assert!(Response::text("").header("X-Name", "a\r\nSet-Cookie: b").is_err());
/// # Ok::<(), sockeye::HeaderError>(())
/// ```
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The header fields, without those that the engine adds.
    pub headers: HeaderMap,
    /// What follows the head. A HEAD request gets the head of the same response.
    pub body: Body,
}

impl Response {
    /// A response without header fields and body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Empty,
        }
    }

    /// 200 with `text/plain` in UTF-8.
    #[must_use]
    pub fn text(body: impl Into<Body>) -> Self {
        Self::bytes(
            HeaderValue::from_static("text/plain; charset=utf-8"),
            body.into(),
        )
    }

    /// 200 with `text/html` in UTF-8. The text is sent as it is: escape what others wrote.
    #[must_use]
    pub fn html(body: impl Into<Body>) -> Self {
        Self::bytes(HTML, body.into())
    }

    /// 200 with a body of any media type.
    #[must_use]
    pub fn bytes(content_type: HeaderValue, body: impl Into<Body>) -> Self {
        let mut response = Self::new(StatusCode::OK);
        response.headers.insert(CONTENT_TYPE, content_type);
        response.body = body.into();
        response
    }

    /// A small HTML page that says the status. Statuses that cannot have content (1xx, 204, 205,
    /// 304; RFC 9110 §6.4.1, §15.3.6) get none.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::error(status, "")
    }

    /// As [`status`](Self::status), with a sentence of explanation below the title. The
    /// explanation is escaped, so it may quote what a peer sent.
    #[must_use]
    pub fn error(status: StatusCode, explanation: &str) -> Self {
        let mut response = Self::new(status);
        if status.is_informational() || matches!(status.as_u16(), 204 | 205 | 304) {
            return response;
        }
        response.headers.insert(CONTENT_TYPE, HTML);
        response.body = page(status, explanation).into();
        response
    }

    /// 426 for a plain request where only WebSocket is spoken (RFC 9110 §15.5.22), with the
    /// version that is (RFC 6455 §4.4).
    #[must_use]
    pub fn upgrade_required() -> Self {
        let mut response = Self::status(StatusCode::UPGRADE_REQUIRED);
        let headers = &mut response.headers;
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        // RFC 9110 §7.8: a sender of Upgrade names it in Connection.
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response
    }

    /// 405, with the methods that are allowed (RFC 9110 §15.5.6), for example `"GET, HEAD"`. A list
    /// that is no header value is left out.
    #[must_use]
    pub fn method_not_allowed(methods: &str) -> Self {
        let mut response = Self::status(StatusCode::METHOD_NOT_ALLOWED);
        if let Ok(methods) = HeaderValue::from_str(methods) {
            response.headers.insert(ALLOW, methods);
        }
        response
    }

    /// Sets a header field in place of any of that name. A further line of the same name (as
    /// `Set-Cookie` wants) goes in through `headers.append`.
    ///
    /// # Errors
    /// The name is no token, the value holds a control character, or the field is one that the
    /// engine derives from the body (`Content-Length`, `Transfer-Encoding`).
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Name)?;
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
            return Err(HeaderError::Framing);
        }
        let value = HeaderValue::from_str(value).map_err(|_| HeaderError::Value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The same response with another body; `Content-Type` stays as it is.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The same response with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// Why a header field was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// `Content-Length` and `Transfer-Encoding` follow from the body; setting them by hand is how
    /// requests get smuggled (RFC 9112 §6.3).
    Framing,
    /// The name is not a token (RFC 9110 §5.1).
    Name,
    /// The value holds a control character (RFC 9110 §5.5).
    Value,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Framing => "message framing fields are derived from the body",
            Self::Name => "header name is not a token",
            Self::Value => "header value holds a control character",
        })
    }
}

impl Error for HeaderError {}

fn page(status: StatusCode, explanation: &str) -> String {
    let code = status.as_str();
    let reason = status.canonical_reason().unwrap_or("");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{code} {reason}</title>\
         <style>:root{{color-scheme:light dark;font-family:system-ui,sans-serif}}\
         body{{margin:15vh auto;max-width:32em;padding:0 1em}}</style>\n\
         <h1>{code} {reason}</h1>\n"
    );
    if !explanation.is_empty() {
        page.push_str("<p>");
        escape(explanation, &mut page);
        page.push_str("</p>\n");
    }
    page
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response) -> &str {
        str::from_utf8(response.body.bytes().unwrap()).unwrap()
    }

    #[test]
    fn common_responses_carry_their_media_type() {
        let text = Response::text("hi");
        assert_eq!(text.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(body(&text), "hi");
        let html = Response::html(String::from("<p>")).with_status(StatusCode::CREATED);
        assert_eq!(html.headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(html.status, StatusCode::CREATED);
        let png = Response::bytes(HeaderValue::from_static("image/png"), vec![1, 2, 3]);
        assert_eq!(png.headers[CONTENT_TYPE], "image/png");
        assert_eq!(png.with_body("four").body.len(), Some(4));
    }

    #[test]
    fn an_error_page_says_its_status_and_escapes_the_rest() {
        let response = Response::error(StatusCode::NOT_FOUND, "<script>'\"&\r\n");
        assert_eq!(response.status, StatusCode::NOT_FOUND);
        let page = body(&response);
        assert!(page.contains("<h1>404 Not Found</h1>"), "{page}");
        assert!(
            page.contains("&lt;script&gt;&#39;&quot;&amp;\r\n"),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }

    #[test]
    fn a_status_without_content_gets_no_page() {
        for code in [100, 101, 204, 205, 304] {
            let response = Response::status(StatusCode::from_u16(code).unwrap());
            assert!(matches!(response.body, Body::Empty), "{code}");
            assert!(response.headers.is_empty(), "{code}");
        }
        let unnamed = Response::status(StatusCode::from_u16(599).unwrap());
        assert!(body(&unnamed).contains("<h1>599 </h1>"));
    }

    #[test]
    fn an_upgrade_is_required_in_all_its_fields() {
        let response = Response::upgrade_required();
        assert_eq!(response.status, 426);
        assert_eq!(response.headers[UPGRADE], "websocket");
        assert_eq!(response.headers[CONNECTION], "upgrade");
        assert_eq!(response.headers[SEC_WEBSOCKET_VERSION], "13");
        assert!(!response.body.is_empty());
    }

    #[test]
    fn a_header_replaces_and_never_injects() {
        let response = Response::text("")
            .header("Content-Type", "text/css")
            .unwrap();
        assert_eq!(response.headers.len(), 1);
        assert_eq!(response.headers[CONTENT_TYPE], "text/css");

        for (name, value, error) in [
            ("X-A", "b\r\nX-C: d", HeaderError::Value),
            ("X-A", "b\nc", HeaderError::Value),
            ("X-A", "b\0", HeaderError::Value),
            ("X-A\r\nX-B", "c", HeaderError::Name),
            ("X A", "b", HeaderError::Name),
            ("", "b", HeaderError::Name),
            ("content-LENGTH", "3", HeaderError::Framing),
            ("Transfer-Encoding", "chunked", HeaderError::Framing),
        ] {
            let refused = Response::text("").header(name, value);
            assert_eq!(refused.err(), Some(error), "{name:?}: {value:?}");
        }
    }
}
