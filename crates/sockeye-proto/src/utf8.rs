//! UTF-8 that arrives in pieces: validated once, wherever it was cut.
//!
//! Knows nothing of frames or messages. At most three bytes of an unfinished character are kept;
//! a byte that cannot continue the text fails in the call that brings it, so that an endpoint can
//! close before the message is complete (RFC 6455 §8.1).

use std::fmt;

/// The text is not UTF-8 (RFC 3629): a surrogate, an overlong form, a value above U+10FFFF, a
/// stray or missing continuation byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8;

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not valid UTF-8")
    }
}

impl std::error::Error for InvalidUtf8 {}

/// What is shorter fills no vector: the wide validation would only hand it on.
const WIDE_LEN: usize = 64;

/// Validates `data`, which is complete.
///
/// # Errors
/// [`InvalidUtf8`] if it is not UTF-8 or ends within a character.
#[inline]
pub fn validate(data: &[u8]) -> Result<&str, InvalidUtf8> {
    if data.len() < WIDE_LEN {
        return std::str::from_utf8(data).map_err(|_| InvalidUtf8);
    }
    simdutf8::basic::from_utf8(data).map_err(|_| InvalidUtf8)
}

/// The state between two pieces of one text.
///
/// ```
/// use sockeye_proto::utf8::Utf8;
/// let mut utf8 = Utf8::new();
/// let mut text = String::new();
/// utf8.append(b"sch\xc3", &mut text)?;
/// utf8.append(b"\xb6n", &mut text)?;
/// utf8.finish()?;
/// assert_eq!(text, "schön");
/// # Ok::<(), sockeye_proto::utf8::InvalidUtf8>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Utf8 {
    carry: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// The state before the first piece.
    pub const fn new() -> Self {
        Self {
            carry: [0; 3],
            len: 0,
        }
    }

    /// Validates the next piece without keeping it.
    ///
    /// # Errors
    /// [`InvalidUtf8`] at the first byte that cannot be part of the text.
    pub fn check(&mut self, data: &[u8]) -> Result<(), InvalidUtf8> {
        self.advance(data).map(|_| ())
    }

    /// Validates the next piece and appends the characters it completes to `text`.
    ///
    /// # Errors
    /// [`InvalidUtf8`] at the first byte that cannot be part of the text; `text` is then as it was.
    pub fn append(&mut self, data: &[u8], text: &mut String) -> Result<(), InvalidUtf8> {
        let (character, rest) = self.advance(data)?;
        text.extend(character);
        text.push_str(rest);
        Ok(())
    }

    /// Ends the text and makes the state ready for the next one.
    ///
    /// # Errors
    /// [`InvalidUtf8`] if the text ends within a character.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        match std::mem::take(self).len {
            0 => Ok(()),
            _ => Err(InvalidUtf8),
        }
    }

    /// Returns the character that `data` completes, and the whole characters behind it.
    fn advance<'d>(&mut self, data: &'d [u8]) -> Result<(Option<char>, &'d str), InvalidUtf8> {
        let (character, data) = match self.len {
            0 => (None, data),
            _ => self.complete(data)?,
        };
        let (whole, unfinished) = data.split_at(data.len() - unfinished_len(data));
        if !unfinished.is_empty() {
            self.keep(unfinished)?;
        }
        Ok((character, validate(whole)?))
    }

    /// Feeds the carried character byte by byte until it is complete or `data` is used up.
    fn complete<'d>(
        &mut self,
        mut data: &'d [u8],
    ) -> Result<(Option<char>, &'d [u8]), InvalidUtf8> {
        let mut bytes = [0; 4];
        let mut len = usize::from(self.len);
        bytes[..3].copy_from_slice(&self.carry);
        while let Some((byte, rest)) = data.split_first() {
            // A carry of three bytes is completed or refused by the fourth: `len` stays below 4.
            bytes[len] = *byte;
            len += 1;
            data = rest;
            match std::str::from_utf8(&bytes[..len]) {
                Ok(text) => {
                    self.len = 0;
                    return Ok((text.chars().next(), data));
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => self.keep(&bytes[..len])?,
            }
        }
        Ok((None, data))
    }

    /// Keeps the beginning of a character, if it is one.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let begins = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
        if !begins || bytes.len() > self.carry.len() {
            return Err(InvalidUtf8);
        }
        self.carry[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len() as u8;
        Ok(())
    }
}

/// How many bytes at the end of `data` look like a character that is not complete (0 to 3).
fn unfinished_len(data: &[u8]) -> usize {
    for (behind, byte) in data.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => return 0,
        };
        return if needed > behind + 1 { behind + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[&[u8]] = &[
        b"",
        b"plain",
        "κόσμε".as_bytes(),
        "\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        "\u{d7ff}\u{e000}\u{fffd}".as_bytes(),
        "😀a😀".as_bytes(),
    ];

    // (text, how many bytes are enough to know that it is bad)
    const BAD: &[(&[u8], usize)] = &[
        (b"\x80", 1),
        (b"a\xbf", 2),
        (b"\xc0\x80", 1),
        (b"\xc1\xbf", 1),
        (b"\xe0\x80\x80", 2),
        (b"\xe0\x9f\xbf", 2),
        (b"\xed\xa0\x80", 2),
        (b"\xed\xbf\xbf", 2),
        (b"\xf0\x80\x80\x80", 2),
        (b"\xf0\x8f\xbf\xbf", 2),
        (b"\xf4\x90\x80\x80", 2),
        (b"\xf5\x80\x80\x80", 1),
        (b"\xf8\x88\x80\x80\x80", 1),
        (b"\xff", 1),
        (b"\xe2\x82a", 3),
        (b"\xf0\x9f\x98a", 4),
        (b"\xf0\x9f\xc3\xa4", 3),
        (b"ok \xce\xba\xed\xa0\x80edited", 7),
    ];

    const CUT: &[&[u8]] = &[b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"abc\xf4\x8f"];

    fn pieces(data: &[u8], size: usize) -> Result<String, InvalidUtf8> {
        let mut utf8 = Utf8::new();
        let mut text = String::new();
        for piece in data.chunks(size) {
            utf8.append(piece, &mut text)?;
        }
        utf8.finish()?;
        Ok(text)
    }

    #[test]
    fn good_text_in_pieces_of_every_size() {
        for good in GOOD {
            for size in 1..=good.len().max(1) {
                assert_eq!(pieces(good, size).unwrap().as_bytes(), *good);
            }
            assert!(validate(good).is_ok());
        }
    }

    #[test]
    fn bad_text_fails_at_the_first_bad_byte() {
        for (bad, enough) in BAD {
            for size in 1..=bad.len() {
                assert_eq!(pieces(bad, size), Err(InvalidUtf8), "{bad:x?} by {size}");
            }
            assert!(validate(bad).is_err());
            let mut utf8 = Utf8::new();
            assert_eq!(utf8.check(&bad[..*enough]), Err(InvalidUtf8), "{bad:x?}");
            let mut utf8 = Utf8::new();
            for (at, byte) in bad[..*enough].iter().enumerate() {
                assert_eq!(
                    utf8.check(&[*byte]).is_err(),
                    at + 1 == *enough,
                    "{bad:x?} at {at}"
                );
            }
        }
    }

    #[test]
    fn text_that_ends_within_a_character() {
        for cut in CUT {
            let mut utf8 = Utf8::new();
            assert_eq!(utf8.check(cut), Ok(()));
            assert_eq!(utf8.finish(), Err(InvalidUtf8));
            assert_eq!(utf8, Utf8::new(), "ready for the next text");
        }
    }
}
