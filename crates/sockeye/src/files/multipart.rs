//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6).
//!
//! Knows the framing of the parts. Refuses to know which ranges and why.
//!
//! Invariant: the boundary cannot be foreseen, so that nobody can write a file that contains it.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::range::Span;
use crate::http::FilePart;

/// 128 bits from the keys that the standard library draws for its hash maps: secret, and others
/// at each call.
pub(super) fn boundary() -> String {
    let draw = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", draw(), draw())
}

/// The value for `Content-Type` of the whole.
pub(super) fn content_type(boundary: &str) -> String {
    format!("multipart/byteranges; boundary={boundary}")
}

pub(super) fn parts(
    spans: &[Span],
    total: u64,
    content_type: &str,
    coding: Option<&str>,
    boundary: &str,
) -> Vec<FilePart> {
    let coding = coding.map(|coding| format!("Content-Encoding: {coding}\r\n"));
    let coding = coding.as_deref().unwrap_or_default();
    let mut parts = Vec::with_capacity(2 * spans.len() + 1);
    let mut line_end = "";
    for span in spans {
        let head = format!(
            "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\n\
             {coding}Content-Range: {}\r\n\r\n",
            span.content_range(total)
        );
        parts.push(FilePart::Literal(head.into_bytes()));
        parts.push(span.part());
        line_end = "\r\n";
    }
    let end = format!("\r\n--{boundary}--\r\n");
    parts.push(FilePart::Literal(end.into_bytes()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_valid_and_differ() {
        let (one, other) = (boundary(), boundary());
        assert_ne!(one, other);
        for boundary in [one, other] {
            assert_eq!(boundary.len(), 32);
            assert!(boundary.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
