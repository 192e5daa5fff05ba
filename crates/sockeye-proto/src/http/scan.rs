//! Finds the end of a head, one pass over its bytes, from where the last read ended.
//!
//! This is where the syntax of lines is strict and the limits of a head are held: CRLF only, no
//! folding, no controls, names that are tokens, bounded in bytes and lines. What the lines say
//! is not known here.
//!
//! Invariants: each byte is looked at once, however it was cut into reads; the verdict is a
//! function of the bytes alone, so it comes at the same byte for every cut.

use super::error::HttpError;
use super::token::is_tchar;
use crate::Limits;

/// The longest method that a registry knows has 17 bytes; what is longer is unknown (501).
const METHOD_LEN: u32 = 32;
/// `HTTP/1.1`.
const VERSION_LEN: u32 = 8;
/// `HTTP/1.1 101`: the reason is optional, and many leave out the blank before it too.
const STATUS_LEN: u32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the request line: one empty line is skipped (RFC 9112 §2.2).
    Lead,
    LeadLf,
    First,
    Method,
    Target,
    Version,
    Status,
    LineLf,
    FieldStart,
    Name,
    Value,
    EndLf,
}

/// A resumable search for the end of a request head, a response head or a trailer section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Bytes seen so far in all.
    len: u32,
    /// Bytes of the current method, target or version.
    part_len: u32,
    fields: u32,
    /// Whether the method, as far as it was seen, is the beginning of HEAD.
    head_method: bool,
}

impl Scanner {
    /// For a request head, which one empty line may precede.
    pub(crate) const fn request() -> Self {
        Self::from_state(State::Lead)
    }

    /// For a response head.
    pub(crate) const fn response() -> Self {
        Self::from_state(State::Status)
    }

    /// For the trailer section of a chunked body.
    pub(crate) const fn trailer() -> Self {
        Self::from_state(State::FieldStart)
    }

    const fn from_state(state: State) -> Self {
        Self {
            state,
            len: 0,
            part_len: 0,
            fields: 0,
            head_method: false,
        }
    }

    /// For one more response head that shares the limit of bytes with this one.
    pub(crate) const fn again(self) -> Self {
        Self {
            len: self.len,
            ..Self::response()
        }
    }

    /// Whether a byte that is not part of a leading empty line was seen.
    pub(crate) fn is_started(&self) -> bool {
        !matches!(self.state, State::Lead | State::LeadLf | State::First)
    }

    /// Whether the method was read and is HEAD: the answer has no body then, even if the rest of
    /// the head is broken.
    pub(crate) fn is_head_request(&self) -> bool {
        self.head_method && !matches!(self.state, State::Method)
    }

    /// How many header lines there are.
    pub(crate) fn field_count(&self) -> usize {
        self.fields as usize
    }

    /// Looks at the next bytes: how many of them belong to the head, once its end is among them.
    pub(crate) fn scan(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, HttpError> {
        let head_len = u32::try_from(limits.request_head_len).unwrap_or(u32::MAX);
        let mut rest = input;
        loop {
            let (run, behind) = rest.split_at(self.run(rest));
            let room = head_len.saturating_sub(self.len) as usize;
            if run.len() > room {
                return Err(HttpError::HeadTooLong);
            }
            self.len += run.len() as u32;
            let Some((&byte, behind)) = behind.split_first() else {
                return Ok(None);
            };
            if self.len >= head_len {
                return Err(HttpError::HeadTooLong);
            }
            self.len += 1;
            rest = behind;
            if self.step(byte, limits)? {
                return Ok(Some(input.len() - rest.len()));
            }
        }
    }

    /// How many bytes from here on change nothing: most of a head is the inside of names and
    /// values.
    fn run(&self, input: &[u8]) -> usize {
        let end = match self.state {
            State::Name => input.iter().position(|&byte| !is_tchar(byte)),
            State::Value => return value_len(input),
            _ => return 0,
        };
        end.unwrap_or(input.len())
    }

    /// One byte; true at the end of the head.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<bool, HttpError> {
        self.state = match (self.state, byte) {
            (State::Value, b'\r') => State::LineLf,
            (State::Value, b'\n') => return Err(HttpError::BareLf),
            (State::Value, byte) if is_value(byte) => State::Value,
            (State::Value, _) => return Err(HttpError::Control),

            (State::Name, b':') => State::Value,
            (State::Name, b' ' | b'\t') => return Err(HttpError::BlankBeforeColon),
            (State::Name, byte) if is_tchar(byte) => State::Name,
            (State::Name, _) => return Err(HttpError::FieldName),

            (State::FieldStart, b'\r') => State::EndLf,
            (State::FieldStart, b'\n') => return Err(HttpError::BareLf),
            (State::FieldStart, b' ' | b'\t') => return Err(HttpError::Fold),
            (State::FieldStart, byte) if is_tchar(byte) => {
                self.fields += 1;
                if self.field_count() > limits.header_count {
                    return Err(HttpError::TooManyFields);
                }
                State::Name
            }
            (State::FieldStart, _) => return Err(HttpError::FieldName),

            (State::LineLf, b'\n') => State::FieldStart,
            (State::EndLf, b'\n') => return Ok(true),
            (State::LineLf | State::EndLf, _) => return Err(HttpError::BareCr),

            (State::Lead, b'\r') => State::LeadLf,
            (State::LeadLf, b'\n') => State::First,
            (State::Lead | State::First, byte) if is_tchar(byte) => {
                self.head_method = byte == b'H';
                self.part(State::Method, 1)
            }
            (State::Lead | State::LeadLf | State::First, _) => return Err(HttpError::RequestLine),

            (State::Method, b' ') => {
                self.head_method &= self.part_len == 4;
                self.part(State::Target, 0)
            }
            (State::Method, byte) if is_tchar(byte) => {
                self.head_method &= b"HEAD".get(self.part_len as usize) == Some(&byte);
                self.part_len += 1;
                if self.part_len > METHOD_LEN {
                    return Err(HttpError::Method);
                }
                State::Method
            }
            (State::Method, _) => return Err(HttpError::RequestLine),

            (State::Target, b' ') if self.part_len > 0 => self.part(State::Version, 0),
            // HTTP/0.9 has no version, and a line that ends here is not 1.x.
            (State::Target, b'\r' | b'\n' | b' ') => return Err(HttpError::RequestLine),
            (State::Target, b'#') => return Err(HttpError::Target),
            (State::Target, b'!'..=b'~') => {
                self.part_len += 1;
                if self.part_len as usize > limits.request_target_len {
                    return Err(HttpError::TargetTooLong);
                }
                State::Target
            }
            (State::Target, _) => return Err(HttpError::Target),

            (State::Version, b'\r') if self.part_len == VERSION_LEN => State::LineLf,
            (State::Version, b'\n') => return Err(HttpError::BareLf),
            (State::Version, b'!'..=b'~') if self.part_len < VERSION_LEN => {
                self.part_len += 1;
                State::Version
            }
            (State::Version, _) => return Err(HttpError::RequestLine),

            (State::Status, b'\r') if self.part_len >= STATUS_LEN => State::LineLf,
            (State::Status, b'\n') => return Err(HttpError::BareLf),
            (State::Status, byte) => {
                // RFC 9112 §4: what does not begin so will never be a status line, however
                // much of it there may be.
                let expected = b"HTTP/".get(self.part_len as usize);
                if expected.is_some_and(|&expected| expected != byte) || !is_value(byte) {
                    return Err(HttpError::StatusLine);
                }
                self.part_len += 1;
                State::Status
            }
        };
        Ok(false)
    }

    fn part(&mut self, state: State, len: u32) -> State {
        self.part_len = len;
        state
    }
}

/// How many bytes at the front can be in a header value.
fn value_len(input: &[u8]) -> usize {
    let (words, _) = input.as_chunks();
    let plain = words.iter().take_while(|&&word| is_plain(word)).count() * WORD_LEN;
    let rest = input.get(plain..).unwrap_or_default();
    let end = rest.iter().position(|&byte| !is_value(byte));
    plain + end.unwrap_or(rest.len())
}

const WORD_LEN: usize = size_of::<u64>();

/// Whether no byte of the word is a control, not even HTAB.
const fn is_plain(word: [u8; WORD_LEN]) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let word = u64::from_ne_bytes(word);
    // A high bit in a result says that a byte there, or one before it, was less than what was
    // subtracted and had no high bit itself.
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let is_delete = delete.wrapping_sub(ONES) & !delete;
    (below_blank | is_delete) & HIGH == 0
}

/// What a header value or a reason phrase is made of (RFC 9110 §5.5).
const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn each_byte_ends_a_value_or_does_not_wherever_it_stands() {
        for byte in 0..=255u8 {
            for len in 1..20 {
                for place in 0..len {
                    let mut value = vec![b'~'; len];
                    value[place] = byte;
                    let expected = if is_value(byte) { len } else { place };
                    assert_eq!(value_len(&value), expected, "{byte:#x} at {place} of {len}");
                }
            }
        }
        assert_eq!(value_len(b"\xff\x80 \t\x80\xfftext\x7f"), 10);
    }
}
