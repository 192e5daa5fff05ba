//! The built-in page at `/`, for who serves no folder.
//!
//! It is compiled in, needs nothing else, and may do nothing else: its Content-Security-Policy
//! names the hashes of its own style and script, made from the page itself when the server starts.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sockeye::{
    Exchange, HeaderMap, HeaderName, HeaderValue, Protocol, Request, Response, StatusCode,
};

const PAGE: &str = include_str!("page.html");

/// Serves the page at `/`, 404 elsewhere. It speaks no WebSocket: the page connects to the
/// endpoints.
#[derive(Debug)]
pub(super) struct Page {
    /// Those of every answer that names the page.
    headers: HeaderMap,
    etag: String,
}

impl Page {
    pub(super) fn new() -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(PAGE)));
        let fields = [
            ("etag", etag.as_str()),
            // A new version of the server shows its own page at once.
            ("cache-control", "no-cache"),
            ("content-security-policy", &policy(PAGE)),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ];
        let headers = fields
            .into_iter()
            .filter_map(|(name, value)| {
                let value = HeaderValue::from_str(value).ok()?;
                Some((HeaderName::from_static(name), value))
            })
            .collect();
        Self { headers, etag }
    }

    fn respond(&self, request: &Request<'_>) -> Response {
        if request.path() != "/" {
            return Response::status(StatusCode::NOT_FOUND);
        }
        if !matches!(request.method(), "GET" | "HEAD") {
            let mut response = Response::status(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers.insert("allow", allow);
            return response;
        }
        let mut response = match self.is_known(request) {
            true => Response::new(StatusCode::NOT_MODIFIED),
            false => Response::html(PAGE),
        };
        response.headers.extend(self.headers.clone());
        response
    }

    /// Whether the client has this very page (RFC 9110 §13.1.2, weak comparison).
    fn is_known(&self, request: &Request<'_>) -> bool {
        request
            .values("if-none-match")
            .filter_map(|value| str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == self.etag)
    }
}

/// Nothing but what the page itself brings along, and WebSockets.
fn policy(page: &str) -> String {
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; \
         connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes(page, "script"),
        hashes(page, "style"),
    )
}

/// The sources that allow the elements of this name which stand in the page, or `'none'`.
fn hashes(page: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let sources: Vec<String> = page
        .split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text))))
        .collect();
    match sources.is_empty() {
        true => "'none'".to_owned(),
        false => sources.join(" "),
    }
}

impl Protocol for Page {
    type Session = ();

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, _: &[u8]) {
        http.respond(self.respond(request));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_hashes_of_what_stands_in_the_page() {
        // The second is the example of Content Security Policy Level 2 §7.15.
        let page = "<style>a{}</style><script>alert('Hello, world.');</script>";
        let policy = policy(page);
        let script = "script-src 'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=';";
        assert!(policy.contains(script), "{policy}");
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert_eq!(hashes("<p>", "script"), "'none'");
    }

    #[test]
    fn the_page_fits_its_policy() {
        assert_eq!(hashes(PAGE, "script").matches("sha256-").count(), 1);
        assert_eq!(hashes(PAGE, "style").matches("sha256-").count(), 1);
        // What the policy would block, or what would need the network.
        for forbidden in [
            "<script ",
            "<style ",
            " style=",
            " onclick=",
            "src=\"http",
            "url(http",
        ] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_eq!(Page::new().headers.len(), 5);
    }
}
