//! The frame header of RFC 6455 §5.2: two to fourteen bytes.
//!
//! Keeps no state and knows no role: it checks what a header alone can tell, in the order of the
//! bytes, so that a longer input never changes a verdict. Whether a mask must be there, what RSV1
//! means and what may follow what is decided by the machine.
#![warn(clippy::indexing_slicing)]

use crate::mask::Mask;
use crate::violation::Violation;

/// What a frame is (RFC 6455 §5.2, §11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the message in progress.
    Continuation = 0,
    /// A text message or its first fragment.
    Text = 1,
    /// A binary message or its first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// A question for a sign of life.
    Ping = 9,
    /// The answer to it.
    Pong = 10,
}

impl Opcode {
    /// Whether frames of this opcode control the connection: short, never fragmented, allowed
    /// between the fragments of a message (RFC 6455 §5.5).
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// A frame header, decoded.
///
/// ```
/// use sockeye_proto::{FrameHeader, Opcode};
/// let (header, len) = FrameHeader::decode(b"\x81\x05Hello")?.unwrap();
/// assert_eq!((header.opcode, header.payload_len, len), (Opcode::Text, 5, 2));
/// # Ok::<(), sockeye_proto::Violation>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The reserved bit that permessage-deflate uses (RFC 7692 §6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key that the payload is masked with.
    pub mask: Option<Mask>,
    /// Bytes of payload; below 2^63.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Bytes of the longest header.
    pub const MAX_LEN: usize = 14;

    /// Bytes of payload that a control frame may carry (RFC 6455 §5.5).
    pub const MAX_CONTROL_LEN: usize = 125;

    /// Bytes of payload that a header of two bytes can announce.
    pub(crate) const MAX_SHORT_LEN: usize = 125;

    /// The first byte of a message that is one frame, not compressed.
    pub(crate) const WHOLE_TEXT: u8 = FIN | Opcode::Text as u8;
    pub(crate) const WHOLE_BINARY: u8 = FIN | Opcode::Binary as u8;
    /// What the second byte of a masked frame has besides the length.
    pub(crate) const MASKED: u8 = MASK;
    /// What the second byte is when the length follows in two more.
    pub(crate) const LEN_OF_16_BITS: u8 = LEN16;

    /// Decodes the header at the front of `bytes` and tells its length; `Ok(None)` if more bytes
    /// are needed.
    ///
    /// # Errors
    /// What a header alone can break: [`Violation::ReservedBits`] (RSV2 and RSV3),
    /// [`Violation::ReservedOpcode`], [`Violation::FragmentedControl`],
    /// [`Violation::ControlTooLong`], [`Violation::NonMinimalLength`],
    /// [`Violation::LengthOverflow`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if first & (RSV2 | RSV3) != 0 {
            return Err(Violation::ReservedBits);
        }
        let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
            return Err(Violation::ReservedOpcode(first & OPCODE));
        };
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(Violation::FragmentedControl);
        }
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let (payload_len, rest) = match second & LEN {
            len @ ..LEN16 => (u64::from(len), rest),
            _ if opcode.is_control() => return Err(Violation::ControlTooLong),
            LEN16 => {
                let Some((len, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                let len = u16::from_be_bytes(*len);
                if len < u16::from(LEN16) {
                    return Err(Violation::NonMinimalLength);
                }
                (u64::from(len), rest)
            }
            _ => {
                let Some((len, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(*len);
                if len >> 63 != 0 {
                    return Err(Violation::LengthOverflow);
                }
                if len <= u64::from(u16::MAX) {
                    return Err(Violation::NonMinimalLength);
                }
                (len, rest)
            }
        };
        let (mask, rest) = match second & MASK {
            0 => (None, rest),
            _ => match rest.split_first_chunk() {
                Some((key, rest)) => (Some(Mask::new(*key)), rest),
                None => return Ok(None),
            },
        };
        let header = Self {
            fin,
            rsv1: first & RSV1 != 0,
            opcode,
            mask,
            payload_len,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Appends the header, with its length in the shortest form.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let first =
            self.opcode as u8 | if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 };
        let masked = if self.mask.is_some() { MASK } else { 0 };
        let len = self.payload_len;
        if len < u64::from(LEN16) {
            out.extend_from_slice(&[first, len as u8 | masked]);
        } else if let Ok(len) = u16::try_from(len) {
            let [a, b] = len.to_be_bytes();
            out.extend_from_slice(&[first, LEN16 | masked, a, b]);
        } else {
            let [a, b, c, d, e, f, g, h] = len.to_be_bytes();
            out.extend_from_slice(&[first, LEN64 | masked, a, b, c, d, e, f, g, h]);
        }
        if let Some(mask) = self.mask {
            out.extend_from_slice(&mask.key());
        }
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;
const LEN: u8 = 0x7f;
const LEN16: u8 = 126;
const LEN64: u8 = 127;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    fn header(opcode: Opcode, payload_len: u64) -> FrameHeader {
        FrameHeader {
            fin: true,
            rsv1: false,
            opcode,
            mask: None,
            payload_len,
        }
    }

    #[test]
    fn every_length_form_there_and_back() {
        let lens = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 32, (1 << 63) - 1];
        let masks = [None, Some(Mask::new([1, 2, 3, 4]))];
        for (payload_len, expected) in lens.into_iter().zip([2, 2, 2, 4, 4, 4, 10, 10, 10]) {
            for mask in masks {
                for (fin, rsv1) in [(true, false), (false, true)] {
                    let opcode = Opcode::Binary;
                    let header = FrameHeader {
                        fin,
                        rsv1,
                        opcode,
                        mask,
                        payload_len,
                    };
                    let mut bytes = Vec::new();
                    header.encode(&mut bytes);
                    let len = expected + if mask.is_some() { 4 } else { 0 };
                    assert_eq!(bytes.len(), len);
                    bytes.extend_from_slice(b"payload");
                    assert_eq!(FrameHeader::decode(&bytes), Ok(Some((header, len))));
                    for cut in 0..len {
                        assert_eq!(FrameHeader::decode(&bytes[..cut]), Ok(None));
                    }
                }
            }
        }
    }

    #[test]
    fn verdicts_come_with_the_byte_that_earns_them() {
        let cases: &[(&[u8], Violation)] = &[
            (b"\xa1", Violation::ReservedBits),
            (b"\x91", Violation::ReservedBits),
            (b"\x83", Violation::ReservedOpcode(3)),
            (b"\x8f", Violation::ReservedOpcode(15)),
            (b"\x09", Violation::FragmentedControl),
            (b"\x89\x7e", Violation::ControlTooLong),
            (b"\x88\xff", Violation::ControlTooLong),
            (b"\x81\x7e\x00\x7d", Violation::NonMinimalLength),
            (b"\x81\x7f\0\0\0\0\0\0\xff\xff", Violation::NonMinimalLength),
            (b"\x81\x7f\x80\0\0\0\0\0\0\0", Violation::LengthOverflow),
            (
                b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Violation::LengthOverflow,
            ),
        ];
        for (bytes, violation) in cases {
            assert_eq!(FrameHeader::decode(bytes), Err(*violation), "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(
                    FrameHeader::decode(&bytes[..cut]),
                    Ok(None),
                    "{bytes:x?} at {cut}"
                );
            }
            let longer = [*bytes, &[0xff; 20]].concat();
            assert_eq!(
                FrameHeader::decode(&longer),
                Err(*violation),
                "{bytes:x?} and more"
            );
        }
    }

    #[test]
    fn all_opcodes() {
        for bits in 0..16u8 {
            let decoded = FrameHeader::decode(&[0x80 | bits, 0]);
            match bits {
                0 | 1 | 2 | 8 | 9 | 10 => {
                    let (found, _) = decoded.unwrap().unwrap();
                    assert_eq!(found, header(found.opcode, 0));
                    assert_eq!(found.opcode as u8, bits);
                    assert_eq!(found.opcode.is_control(), bits >= 8);
                }
                _ => assert_eq!(decoded, Err(Violation::ReservedOpcode(bits))),
            }
        }
    }
}
