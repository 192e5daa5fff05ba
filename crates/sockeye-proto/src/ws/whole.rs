//! The frame that nearly all messages are: one for the message, with a short length, wholly there.
//!
//! Knows the layout of RFC 6455 §5.2 and no state. It recognises such a frame or says nothing;
//! [`FrameHeader`] alone has verdicts.
#![warn(clippy::indexing_slicing)]

use super::{Kind, Role};
use crate::frame::FrameHeader;
use crate::mask::Mask;

/// Where the payload lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WholeFrame {
    pub(super) kind: Kind,
    pub(super) mask: Option<Mask>,
    pub(super) head_len: usize,
    pub(super) payload_len: usize,
}

impl WholeFrame {
    /// The frame at the front of what `role` receives. Lengths of 64 bits are left to the long way,
    /// which does not show there.
    #[inline(always)]
    pub(super) fn find(bytes: &[u8], role: Role) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let kind = match first {
            FrameHeader::WHOLE_TEXT => Kind::Text,
            FrameHeader::WHOLE_BINARY => Kind::Binary,
            _ => return None,
        };
        let (len, masked) = match role {
            Role::Server => (second.checked_sub(FrameHeader::MASKED)?, true),
            Role::Client => (second, false),
        };
        let (payload_len, rest) = match len {
            ..126 => (usize::from(len), rest),
            126 => {
                let (&len, rest) = rest.split_first_chunk()?;
                match u16::from_be_bytes(len) {
                    ..126 => return None,
                    len => (usize::from(len), rest),
                }
            }
            _ => return None,
        };
        let (mask, rest) = match masked {
            true => {
                let (&key, rest) = rest.split_first_chunk()?;
                (Some(Mask::new(key)), rest)
            }
            false => (None, rest),
        };
        (payload_len <= rest.len()).then(|| Self {
            kind,
            mask,
            head_len: bytes.len() - rest.len(),
            payload_len,
        })
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::frame::Opcode;

    #[test]
    fn what_is_found_is_what_the_header_says() {
        let lens = [0, 1, 125, 126, 127, 1000, 65_535];
        let opcodes = [
            Opcode::Text,
            Opcode::Binary,
            Opcode::Continuation,
            Opcode::Ping,
        ];
        for opcode in opcodes {
            for (fin, rsv1) in [(true, false), (false, false), (true, true)] {
                for payload_len in lens {
                    for role in [Role::Server, Role::Client] {
                        for mask in [None, Some(Mask::new([1, 2, 3, 4]))] {
                            let header = FrameHeader {
                                fin,
                                rsv1,
                                opcode,
                                mask,
                                payload_len,
                            };
                            check(header, role);
                        }
                    }
                }
            }
        }
    }

    fn check(header: FrameHeader, role: Role) {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let head_len = bytes.len();
        let payload_len = header.payload_len as usize;
        bytes.resize(head_len + payload_len, 7);
        let kind = match header.opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            _ => None,
        };
        let plain = header.fin && !header.rsv1;
        let fits = plain && header.mask.is_some() == (role == Role::Server);
        let expected = kind.filter(|_| fits).map(|kind| WholeFrame {
            kind,
            mask: header.mask,
            head_len,
            payload_len,
        });
        assert_eq!(WholeFrame::find(&bytes, role), expected, "{header:?}");
        for cut in (0..bytes.len()).take(20) {
            assert_eq!(WholeFrame::find(&bytes[..cut], role), None, "{header:?}");
        }
        bytes.push(0x81);
        assert_eq!(
            WholeFrame::find(&bytes, role),
            expected,
            "{header:?} and more"
        );
    }

    #[test]
    fn a_length_in_too_many_bytes_is_left_to_the_long_way() {
        for bytes in [&b"\x81\x7e\0\x01a"[..], b"\x81\x7f\0\0\0\0\0\0\0\x01a"] {
            assert_eq!(WholeFrame::find(bytes, Role::Client), None);
        }
    }
}
