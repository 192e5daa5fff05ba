//! Frames as a client writes them and heads as a server writes them (RFC 6455 §5.2).

use clap::ValueEnum;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// What messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// ASCII
    Text,
    /// Text of many scripts: characters of one to four bytes
    Utf8,
    /// Text as programs send it: records of JSON, which can be compressed
    Json,
    /// Any bytes
    Binary,
}

impl Kind {
    pub(crate) fn opcode(self) -> u8 {
        match self {
            Self::Text | Self::Utf8 | Self::Json => 1,
            Self::Binary => 2,
        }
    }
}

/// Appends a whole message, or a control frame, masked.
pub(crate) fn write(frame: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    write_with(frame, opcode, false, payload, mask);
}

/// The same with RSV1, which says that the payload is compressed.
pub(crate) fn write_with(
    frame: &mut Vec<u8>,
    opcode: u8,
    rsv1: bool,
    payload: &[u8],
    mask: [u8; 4],
) {
    frame.push(0x80 | if rsv1 { 0x40 } else { 0 } | opcode);
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// The head of a frame that a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: bool,
    /// The message that begins with it is compressed.
    pub(crate) rsv1: bool,
    pub(crate) opcode: u8,
    pub(crate) payload_len: u64,
    /// Of the head itself.
    pub(crate) len: usize,
}

impl Head {
    pub(crate) const MAX_LEN: usize = 10;

    /// `Ok(None)`: it is not complete. `Err`: a server may not send that.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let &[first, second, ..] = bytes else {
            return Ok(None);
        };
        if first & 0x30 != 0 {
            return Err("set a reserved bit");
        }
        if second & 0x80 != 0 {
            return Err("masked a frame");
        }
        let extra = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = bytes.get(2..2 + extra) else {
            return Ok(None);
        };
        let payload_len = match extra {
            0 => u64::from(second),
            _ => extended
                .iter()
                .fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        Ok(Some(Self {
            last: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            opcode: first & 15,
            payload_len,
            len: 2 + extra,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_all_three_forms() {
        for (len, head) in [(0, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let mut frame = Vec::new();
            write(&mut frame, 2, &vec![7; len], [0; 4]);
            assert_eq!(frame.len(), head + len);
            // As the server would send it: without the mask.
            frame[1] &= 0x7f;
            let read = Head::read(&frame).unwrap().unwrap();
            assert_eq!((read.payload_len, read.len), (len as u64, head - 4));
            assert!(read.last);
            for cut in 0..read.len {
                assert_eq!(Head::read(&frame[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn a_payload_is_masked() {
        let mut frame = Vec::new();
        write(&mut frame, 1, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        // RFC 6455 §5.7.
        let example = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(frame, example);
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        // RSV1 is for the verifier to judge: it knows whether compression was agreed on.
        Head::read(&[0xa1, 0]).unwrap_err();
        Head::read(&[0x91, 0]).unwrap_err();
        Head::read(&[0x81, 0x80]).unwrap_err();
    }
}
