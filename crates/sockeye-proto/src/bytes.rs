//! Bytes and text that either borrow the caller's input or were assembled from several reads.
//!
//! This module knows nothing of frames. A value that borrows lives as long as the input buffer,
//! never as long as a machine: a handler may use the machine while it holds one.

use std::fmt;
use std::ops::Deref;

/// A run of bytes: borrowed from the input, or owned because it arrived in pieces.
///
/// ```
/// use sockeye_proto::Bytes;
/// let data = Bytes::Borrowed(b"abc");
/// assert_eq!(data.len(), 3);
/// assert_eq!(data, Bytes::Owned(b"abc".to_vec()));
/// ```
pub enum Bytes<'b> {
    /// A part of the input, unmasked in place.
    Borrowed(&'b [u8]),
    /// Assembled from several reads or frames.
    Owned(Vec<u8>),
}

impl Bytes<'_> {
    /// The bytes as a `Vec`; copies only what was borrowed.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }

    /// The same bytes with no tie to the input; copies only what was borrowed.
    pub fn into_owned(self) -> Bytes<'static> {
        Bytes::Owned(self.into_vec())
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Bytes<'_> {
    fn default() -> Self {
        Self::Borrowed(&[])
    }
}

impl PartialEq for Bytes<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes<'_> {}

impl PartialEq<[u8]> for Bytes<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// Valid UTF-8: borrowed from the input, or owned because it arrived in pieces.
///
/// ```
/// use sockeye_proto::Text;
/// let text = Text::Borrowed("läuft");
/// assert!(text.starts_with('l'));
/// assert_eq!(text.into_string(), "läuft");
/// ```
pub enum Text<'b> {
    /// A part of the input, unmasked in place and validated.
    Borrowed(&'b str),
    /// Assembled from several reads or frames, validated as it arrived.
    Owned(String),
}

impl Text<'_> {
    /// The text as a `String`; copies only what was borrowed.
    pub fn into_string(self) -> String {
        match self {
            Self::Borrowed(text) => text.to_owned(),
            Self::Owned(text) => text,
        }
    }

    /// The same text with no tie to the input; copies only what was borrowed.
    pub fn into_owned(self) -> Text<'static> {
        Text::Owned(self.into_string())
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Borrowed("")
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_about_content_not_ownership() {
        assert_eq!(Bytes::Borrowed(b"ab"), Bytes::Owned(b"ab".to_vec()));
        assert_ne!(Bytes::Borrowed(b"ab"), Bytes::Owned(b"ac".to_vec()));
        assert_eq!(Text::Borrowed("ab"), Text::Owned("ab".to_owned()));
        assert_eq!(Bytes::default().into_vec(), b"");
        assert_eq!(Text::default().into_string(), "");
    }

    #[test]
    fn debug_is_readable() {
        assert_eq!(
            format!("{:?}", Bytes::Borrowed(b"a\x00\xff")),
            r#"b"a\x00\xff""#
        );
        assert_eq!(format!("{:?}", Text::Borrowed("a\n")), r#""a\n""#);
    }
}
