//! Close codes and the payload of a Close frame (RFC 6455 §5.5.1, §7.4).
//!
//! Knows which codes may be on the wire and how a reason is written and read. Who closes, when,
//! and what follows is the business of the machine.

use std::fmt;

use crate::bytes::Text;
use crate::utf8;
use crate::violation::{Misuse, Violation};

/// Why a connection was closed.
///
/// ```
/// use sockeye_proto::CloseCode;
/// assert!(CloseCode::NORMAL.may_travel());
/// assert!(!CloseCode::ABNORMAL.may_travel());
/// assert_eq!(CloseCode::try_from(4001).map(u16::from), Ok(4001));
/// assert!(CloseCode::try_from(1005).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message that the receiver does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the Close frame had no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a Close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: text that is not UTF-8, or other data that belies its type.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a message that breaks the receiver's policy.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message too big to be processed.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension in the server's answer.
    pub const EXTENSION: Self = Self(1010);
    /// 1011: a server met a condition it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the service is overloaded.
    pub const TRY_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid answer from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether the code may be in a Close frame: those that RFC 6455 §7.4.1 and the IANA registry
    /// define for it, and 3000 to 4999 (§7.4.2).
    pub const fn may_travel(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = Misuse;

    /// Takes the codes that may be sent.
    ///
    /// # Errors
    /// [`Misuse::UnsendableCode`] for all others.
    fn try_from(code: u16) -> Result<Self, Misuse> {
        match Self(code) {
            code if code.may_travel() => Ok(code),
            Self(code) => Err(Misuse::UnsendableCode(code)),
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the peer's Close frame said.
#[derive(Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// Its code; [`CloseCode::NO_STATUS`] if the frame was empty.
    pub code: CloseCode,
    /// Its reason, often empty; meant for people who look for a fault.
    pub reason: Text<'b>,
}

impl<'b> CloseFrame<'b> {
    /// Bytes of a reason at most: a control frame carries 125, two are the code.
    pub const MAX_REASON_LEN: usize = 123;

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    /// [`Violation::ShortClose`], [`Violation::IllegalCloseCode`] or
    /// [`Violation::InvalidCloseReason`] (RFC 6455 §5.5.1, §7.4, §8.1).
    pub fn decode(payload: &'b [u8]) -> Result<Self, Violation> {
        match payload.split_first_chunk::<2>() {
            Some((code, reason)) => {
                let code = CloseCode(u16::from_be_bytes(*code));
                if !code.may_travel() {
                    return Err(Violation::IllegalCloseCode(code.0));
                }
                let reason = utf8::validate(reason).map_err(|_| Violation::InvalidCloseReason)?;
                Ok(Self {
                    code,
                    reason: Text::Borrowed(reason),
                })
            }
            None if payload.is_empty() => Ok(Self {
                code: CloseCode::NO_STATUS,
                reason: Text::default(),
            }),
            None => Err(Violation::ShortClose),
        }
    }

    /// As [`decode`](Self::decode), of a version before RFC 6455 that has codes.
    #[cfg(feature = "drafts")]
    pub(crate) fn decode_as(version: crate::Version, payload: &'b [u8]) -> Result<Self, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return Self::decode(payload);
        };
        let code = CloseCode(version.meant_code(u16::from_be_bytes(*code)));
        if !code.may_travel() {
            return Err(Violation::IllegalCloseCode(code.0));
        }
        let reason = utf8::validate(reason).map_err(|_| Violation::InvalidCloseReason)?;
        Ok(Self {
            code,
            reason: Text::Borrowed(reason),
        })
    }

    /// The same with no tie to the input.
    pub fn into_owned(self) -> CloseFrame<'static> {
        CloseFrame {
            code: self.code,
            reason: self.reason.into_owned(),
        }
    }
}

/// The longest beginning of `reason` that fits a Close frame and ends with a whole character.
pub(crate) fn cut_reason(reason: &str) -> &str {
    let mut end = reason.len().min(CloseFrame::MAX_REASON_LEN);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_travel() {
        let legal = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
        ];
        let legal = legal.into_iter().chain([3000, 3999, 4000, 4999]);
        for code in legal {
            assert!(CloseCode(code).may_travel(), "{code}");
            assert_eq!(CloseCode::try_from(code), Ok(CloseCode(code)));
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!CloseCode(code).may_travel(), "{code}");
            assert_eq!(CloseCode::try_from(code), Err(Misuse::UnsendableCode(code)));
        }
    }

    #[test]
    fn payloads() {
        let decode = CloseFrame::decode;
        assert_eq!(decode(b"").unwrap().code, CloseCode::NO_STATUS);
        let frame = decode(b"\x03\xe8bye \xc3\xbc").unwrap();
        assert_eq!((frame.code, &*frame.reason), (CloseCode::NORMAL, "bye ü"));
        assert_eq!(decode(b"\x03"), Err(Violation::ShortClose));
        assert_eq!(decode(b"\x03\xed"), Err(Violation::IllegalCloseCode(1005)));
        assert_eq!(decode(b"\x03\xe8\xc3"), Err(Violation::InvalidCloseReason));
        // The code is judged before the reason.
        assert_eq!(decode(b"\x00\x00\xff"), Err(Violation::IllegalCloseCode(0)));
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        assert_eq!(cut_reason(&"a".repeat(123)).len(), 123);
        assert_eq!(cut_reason(&"a".repeat(124)).len(), 123);
        assert_eq!(cut_reason(&"ü".repeat(100)).len(), 122);
        assert_eq!(cut_reason(&"😀".repeat(100)).len(), 120);
    }
}
