//! The frame header of hybi-04 to 06 (§4.2 of each): the layout of RFC 6455 with other opcodes, and
//! a fourth reserved bit where that has MASK.
//!
//! Keeps no state and knows no masking: bytes come in clear. As for
//! [`FrameHeader`], a longer input never changes a verdict.

use crate::frame::{FrameHeader, Opcode};
use crate::violation::Violation;

/// Decodes the header at the front of `bytes` and tells its length; `Ok(None)` if more bytes are
/// needed. There is no mask in what it returns.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, Violation> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if first & RESERVED != 0 {
        return Err(Violation::ReservedBits);
    }
    let bits = first & OPCODE;
    let opcode = opcode(bits).ok_or(Violation::ReservedOpcode(bits))?;
    if rest.first().is_some_and(|second| second & RSV4 != 0) {
        return match opcode.is_control() && first & FIN == 0 {
            true => Err(Violation::FragmentedControl),
            false => Err(Violation::ReservedBits),
        };
    }
    // From here on the other opcodes are all that differs.
    let mut same = [0; FrameHeader::MAX_LEN];
    let len = bytes.len().min(same.len());
    let (copy, _) = same.split_at_mut(len);
    copy.copy_from_slice(bytes.get(..len).unwrap_or_default());
    if let Some(byte) = copy.first_mut() {
        *byte = first & FIN | opcode as u8;
    }
    FrameHeader::decode(copy)
}

/// Appends a header, with its length in the shortest form.
pub(crate) fn encode(opcode: Opcode, fin: bool, payload_len: usize, output: &mut Vec<u8>) {
    let start = output.len();
    FrameHeader {
        fin,
        rsv1: false,
        opcode,
        mask: None,
        payload_len: payload_len as u64,
    }
    .encode(output);
    if let Some(first) = output.get_mut(start) {
        *first = *first & FIN | bits(opcode);
    }
}

/// The opcode as these versions number it.
pub(crate) const fn bits(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::Continuation => 0,
        Opcode::Close => 1,
        Opcode::Ping => 2,
        Opcode::Pong => 3,
        Opcode::Text => 4,
        Opcode::Binary => 5,
    }
}

const fn opcode(bits: u8) -> Option<Opcode> {
    Some(match bits {
        0 => Opcode::Continuation,
        1 => Opcode::Close,
        2 => Opcode::Ping,
        3 => Opcode::Pong,
        4 => Opcode::Text,
        5 => Opcode::Binary,
        _ => return None,
    })
}

/// How likely it is that a frame begins so: 0 if it must not, 2 if most do.
pub(crate) const fn likelihood([first, second]: [u8; 2]) -> u8 {
    let Some(opcode) = opcode(first & OPCODE) else {
        return 0;
    };
    let fin = first & FIN != 0;
    let wrong_control =
        opcode.is_control() && (!fin || second > FrameHeader::MAX_CONTROL_LEN as u8);
    if first & RESERVED != 0 || second & RSV4 != 0 || wrong_control {
        return 0;
    }
    match (opcode, fin) {
        (Opcode::Continuation, _) | (_, false) => 1,
        (_, true) => 2,
    }
}

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const RSV4: u8 = 0x80;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_length_form_there_and_back() {
        let cases: [(usize, &[u8]); 5] = [
            (5, b"\x85\x05"),
            (125, b"\x85\x7d"),
            (126, b"\x85\x7e\x00\x7e"),
            (65_535, b"\x85\x7e\xff\xff"),
            (65_536, b"\x85\x7f\0\0\0\0\0\x01\0\0"),
        ];
        for (payload_len, expected) in cases {
            let mut bytes = Vec::new();
            encode(Opcode::Binary, true, payload_len, &mut bytes);
            assert_eq!(bytes, expected);
            bytes.extend_from_slice(b"\xff\xff");
            let (header, len) = decode(&bytes).unwrap().unwrap();
            assert_eq!((header.opcode, len), (Opcode::Binary, expected.len()));
            assert_eq!(header.payload_len, payload_len as u64);
            for cut in 0..expected.len() {
                assert_eq!(decode(&expected[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn verdicts_come_with_the_byte_that_earns_them() {
        let cases: &[(&[u8], Violation)] = &[
            (b"\xc4", Violation::ReservedBits),
            (b"\xa4", Violation::ReservedBits),
            (b"\x94", Violation::ReservedBits),
            (b"\x86", Violation::ReservedOpcode(6)),
            (b"\x88", Violation::ReservedOpcode(8)),
            (b"\x8f", Violation::ReservedOpcode(15)),
            (b"\x02", Violation::FragmentedControl),
            (b"\x84\x85", Violation::ReservedBits),
            (b"\x82\x7e", Violation::ControlTooLong),
            (b"\x84\x7e\x00\x7d", Violation::NonMinimalLength),
            (b"\x84\x7f\x80\0\0\0\0\0\0\0", Violation::LengthOverflow),
        ];
        for (bytes, violation) in cases {
            assert_eq!(decode(bytes), Err(*violation), "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), Ok(None), "{bytes:x?} at {cut}");
            }
            let longer = [*bytes, &[0xff; 20]].concat();
            assert_eq!(decode(&longer), Err(*violation), "{bytes:x?} and more");
        }
    }

    #[test]
    fn a_frame_that_must_not_be_is_unlikely() {
        for first in 0..=255 {
            for second in [0, 1, 125, 126, 127, 128, 255] {
                let bad = decode(&[first, second]).is_err();
                assert_eq!(
                    likelihood([first, second]) == 0,
                    bad,
                    "{first:x} {second:x}"
                );
            }
        }
    }
}
