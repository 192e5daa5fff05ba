//! How a message body is framed, and reading it (RFC 9112 §6 and §7).
//!
//! Knows nothing of whether anybody wants the body. Chunk extensions and trailers are read past,
//! never kept.
//!
//! Invariants: a framing with two readings is an error; no byte of a body is ever taken for
//! something else, nor a byte behind it for the body; the verdict does not depend on how the
//! bytes were cut.

use super::error::HttpError;
use super::request::{Request, Version};
use super::scan::Scanner;
use super::token::elements;
use crate::Limits;

/// How the length of a request body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// Content-Length, in bytes.
    Known(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

impl BodyLength {
    /// Whether the head announces no byte of body.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Known(0))
    }

    /// RFC 9112 §6.3, for requests.
    pub(crate) fn of_request(request: &Request<'_>) -> Result<Self, HttpError> {
        let chunked = is_chunked(request.values("transfer-encoding"))?;
        let length = content_length(request.values("content-length"))?;
        match (chunked, length) {
            (true, Some(_)) => Err(HttpError::LengthAndCoding),
            // RFC 9112 §6.1: HTTP/1.0 has no transfer codings, so the framing is faulty.
            (true, None) if request.version() == Version::Http10 => Err(HttpError::TransferCoding),
            (true, None) => Ok(Self::Chunked),
            (false, Some(length)) => Ok(Self::Known(length)),
            (false, None) => Ok(Self::None),
        }
    }
}

/// Whether Transfer-Encoding is given and is `chunked` alone.
pub(crate) fn is_chunked<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<bool, HttpError> {
    let mut given = false;
    let mut chunked = 0u32;
    let mut others = false;
    let mut last_is_chunked = false;
    for value in values {
        given = true;
        for coding in elements(value) {
            last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            chunked = chunked.saturating_add(last_is_chunked.into());
            others |= !last_is_chunked;
        }
    }
    match (given, chunked, last_is_chunked, others) {
        (false, ..) => Ok(false),
        (true, 1, true, false) => Ok(true),
        // The length would be clear, but not the content.
        (true, 1, true, true) => Err(HttpError::UnknownCoding),
        _ => Err(HttpError::TransferCoding),
    }
}

/// The one number that all Content-Length values agree on.
pub(crate) fn content_length<'v>(
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<Option<u64>, HttpError> {
    let mut first: Option<&[u8]> = None;
    let mut length = None;
    for value in values {
        // An empty element has no reading as a number, so the lenient `elements` is not for this.
        for digits in value.split(|&byte| byte == b',').map(super::token::trim) {
            if first.is_some_and(|first| first != digits) {
                return Err(HttpError::ContentLength);
            }
            first = Some(digits);
            length = Some(decimal(digits).ok_or(HttpError::ContentLength)?);
        }
    }
    Ok(length)
}

/// 1*DIGIT, as far as a `u64` goes.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// What [`BodyReader::read`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'b> {
    /// Bytes of the body, never empty.
    Data(&'b [u8]),
    /// The body is over; what is left in the input is not part of it.
    End,
    /// All input is used up.
    More,
}

/// Reads a body.
#[derive(Debug)]
pub(crate) enum BodyReader {
    /// So many bytes are left.
    Known(u64),
    Chunked(Chunks),
    /// All bytes until the end of the stream: only in responses.
    UntilClose,
}

impl BodyReader {
    /// Chunked, with room for that many bytes of data.
    pub(crate) fn chunked(allowance: u64) -> Self {
        Self::Chunked(Chunks {
            state: ChunkState::Size,
            remaining: 0,
            digits: 0,
            extension_len: 0,
            allowance,
            trailer: Scanner::trailer(),
        })
    }

    /// The next piece of the body, from the front of the input.
    pub(crate) fn read<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &Limits,
    ) -> Result<Piece<'b>, HttpError> {
        match self {
            Self::Known(remaining) => Ok(take_data(remaining, input)),
            Self::Chunked(chunks) => chunks.read(input, limits),
            Self::UntilClose => {
                let mut endless = u64::MAX;
                Ok(take_data(&mut endless, input))
            }
        }
    }
}

/// Cuts `len` bytes, or all there are, off the front of the input.
pub(crate) fn take_front<'b>(input: &mut &'b mut [u8], len: usize) -> &'b [u8] {
    let whole = std::mem::take(input);
    let (front, rest) = whole.split_at_mut(len.min(whole.len()));
    *input = rest;
    front
}

fn take_data<'b>(remaining: &mut u64, input: &mut &'b mut [u8]) -> Piece<'b> {
    if *remaining == 0 {
        return Piece::End;
    }
    if input.is_empty() {
        return Piece::More;
    }
    let len = usize::try_from(*remaining)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *remaining -= len as u64;
    Piece::Data(take_front(input, len))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    /// Blanks between the size and the `;` of an extension.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
}

/// The chunked transfer coding (RFC 9112 §7.1).
#[derive(Debug)]
pub(crate) struct Chunks {
    state: ChunkState,
    digits: u8,
    /// Of all chunks together: many small chunks must not carry much more than data.
    extension_len: u32,
    remaining: u64,
    /// Bytes of data that may still come. A chunk that announces more fails at its size, so the
    /// verdict comes at the same byte for every cut.
    allowance: u64,
    trailer: Scanner,
}

impl Chunks {
    /// The most data that may still come.
    pub(crate) fn set_allowance(&mut self, allowance: u64) {
        self.allowance = allowance;
    }

    fn read<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &Limits,
    ) -> Result<Piece<'b>, HttpError> {
        loop {
            match self.state {
                ChunkState::Data => {
                    if self.remaining > 0 {
                        return Ok(take_data(&mut self.remaining, input));
                    }
                    self.state = ChunkState::DataCr;
                }
                ChunkState::Trailer => {
                    let end = self.trailer.scan(input, limits)?;
                    take_front(input, end.unwrap_or(usize::MAX));
                    return Ok(if end.is_some() {
                        Piece::End
                    } else {
                        Piece::More
                    });
                }
                _ => {
                    let Some(&byte) = input.first() else {
                        return Ok(Piece::More);
                    };
                    self.step(byte, limits)?;
                    take_front(input, 1);
                }
            }
        }
    }

    /// One byte of a chunk's size line, or of the CRLF behind its data.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<(), HttpError> {
        self.state = match (self.state, byte) {
            (ChunkState::Size, b'\r') if self.digits > 0 => ChunkState::SizeLf,
            (ChunkState::Size, b';') if self.digits > 0 => self.extension(byte, limits)?,
            (ChunkState::Size, b' ' | b'\t') if self.digits > 0 => {
                self.extension(byte, limits)?;
                ChunkState::Blank
            }
            (ChunkState::Size, byte) => {
                let digit = char::from(byte).to_digit(16).ok_or(HttpError::ChunkSize)?;
                // Sixteen digits are what a u64 holds; leading zeros gain nothing.
                if self.digits == 16 {
                    return Err(HttpError::ChunkSize);
                }
                self.digits += 1;
                self.remaining = self.remaining << 4 | u64::from(digit);
                ChunkState::Size
            }

            // RFC 9112 §7.1.1: a blank is only allowed before the `;` of an extension.
            (ChunkState::Blank, b';') => self.extension(byte, limits)?,
            (ChunkState::Blank, b' ' | b'\t') => {
                self.extension(byte, limits)?;
                ChunkState::Blank
            }
            (ChunkState::Blank, _) => return Err(HttpError::ChunkSize),

            (ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::Extension, _) => self.extension(byte, limits)?,

            (ChunkState::SizeLf, b'\n') => {
                self.digits = 0;
                if self.remaining > self.allowance {
                    return Err(HttpError::BodyTooLong);
                }
                self.allowance -= self.remaining;
                if self.remaining == 0 {
                    ChunkState::Trailer
                } else {
                    ChunkState::Data
                }
            }
            (ChunkState::SizeLf, _) => return Err(HttpError::BareCr),

            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::Size,
            (ChunkState::DataCr | ChunkState::DataLf, _) => return Err(HttpError::ChunkEnd),
            (state @ (ChunkState::Data | ChunkState::Trailer), _) => state,
        };
        Ok(())
    }

    fn extension(&mut self, byte: u8, limits: &Limits) -> Result<ChunkState, HttpError> {
        self.extension_len += 1;
        let allowed = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        if !allowed || self.extension_len as usize > limits.request_head_len {
            return Err(HttpError::ChunkExtension);
        }
        Ok(ChunkState::Extension)
    }
}
