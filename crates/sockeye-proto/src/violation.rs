//! What went wrong: a rule the peer broke, or a call we should not have got.
//!
//! The two never mix: a [`Violation`] is caused by input alone and has a close code, a [`Misuse`]
//! by the caller alone and never reaches the peer.

use std::fmt;

use crate::close::CloseCode;

/// A rule of RFC 6455, or a limit, that the peer broke.
///
/// When a machine returns one, the Close frame with [`close_code`](Self::close_code) and
/// [`reason`](Self::reason) is already in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set that no extension gave a meaning.
    ReservedBits,
    /// A frame of an opcode that is not defined (3 to 7, 11 to 15).
    ReservedOpcode(u8),
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A frame from a client without a mask.
    UnmaskedFrame,
    /// A frame from a server with a mask.
    MaskedFrame,
    /// A length written with more bytes than it needs.
    NonMinimalLength,
    /// A 64-bit length whose top bit is set.
    LengthOverflow,
    /// A continuation frame while no message is in progress.
    UnexpectedContinuation,
    /// A new message while another one is in progress.
    ExpectedContinuation,
    /// A frame above [`frame_len`](crate::Limits::frame_len).
    FrameTooBig,
    /// A message above [`message_len`](crate::Limits::message_len).
    MessageTooBig,
    /// A message of more frames than [`fragment_count`](crate::Limits::fragment_count).
    TooManyFragments,
    /// A text message that is not UTF-8.
    InvalidText,
    /// A compressed message that is no DEFLATE, or ends amid a block (RFC 7692 §7.2.2).
    BrokenDeflate,
    /// A compressed message that inflates to too many times its size (RFC 7692 §8).
    InflatesTooMuch,
    /// A Close frame with a payload of one byte.
    ShortClose,
    /// A Close frame with a code that must not be on the wire.
    IllegalCloseCode(u16),
    /// A Close frame whose reason is not UTF-8.
    InvalidCloseReason,
}

impl Violation {
    /// The code of the Close frame that answers it.
    pub const fn close_code(self) -> CloseCode {
        self.describe().0
    }

    /// The reason of the Close frame that answers it: the rule in a few words.
    pub const fn reason(self) -> &'static str {
        self.describe().1
    }

    /// Code, rule and section.
    const fn describe(self) -> (CloseCode, &'static str, &'static str) {
        const PROTOCOL: CloseCode = CloseCode::PROTOCOL;
        match self {
            Self::ReservedBits => (PROTOCOL, "reserved bit set", "5.2"),
            Self::ReservedOpcode(_) => (PROTOCOL, "reserved opcode", "5.2"),
            Self::FragmentedControl => (PROTOCOL, "fragmented control frame", "5.5"),
            Self::ControlTooLong => (PROTOCOL, "control frame longer than 125 bytes", "5.5"),
            Self::UnmaskedFrame => (PROTOCOL, "client frame without a mask", "5.1"),
            Self::MaskedFrame => (PROTOCOL, "server frame with a mask", "5.1"),
            Self::NonMinimalLength => (PROTOCOL, "length not in its shortest form", "5.2"),
            Self::LengthOverflow => (PROTOCOL, "length of 64 bits", "5.2"),
            Self::UnexpectedContinuation => (PROTOCOL, "continuation of no message", "5.4"),
            Self::ExpectedContinuation => (PROTOCOL, "new message within another", "5.4"),
            Self::FrameTooBig => (CloseCode::TOO_BIG, "frame too big", "10.4"),
            Self::MessageTooBig => (CloseCode::TOO_BIG, "message too big", "10.4"),
            // The bytes may be few: it is our policy that is broken, not a size.
            Self::TooManyFragments => (CloseCode::POLICY, "too many fragments", "10.4"),
            Self::InvalidText => (CloseCode::INVALID_DATA, "text is not UTF-8", "8.1"),
            Self::BrokenDeflate => (
                CloseCode::INVALID_DATA,
                "compressed data is broken",
                "7.2.2",
            ),
            Self::InflatesTooMuch => (CloseCode::TOO_BIG, "message inflates too much", "8"),
            Self::ShortClose => (PROTOCOL, "close payload of one byte", "5.5.1"),
            Self::IllegalCloseCode(_) => (PROTOCOL, "illegal close code", "7.4"),
            Self::InvalidCloseReason => {
                (CloseCode::INVALID_DATA, "close reason is not UTF-8", "8.1")
            }
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, rule, section) = self.describe();
        f.write_str(rule)?;
        match self {
            Self::ReservedOpcode(opcode) => write!(f, " {opcode}")?,
            Self::IllegalCloseCode(code) => write!(f, " {code}")?,
            _ => {}
        }
        let rfc = match self {
            Self::BrokenDeflate | Self::InflatesTooMuch => 7692,
            _ => 6455,
        };
        write!(f, " (RFC {rfc} §{section})")
    }
}

impl std::error::Error for Violation {}

/// A call that the state of the machine does not allow. Input never causes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The connection is over.
    NotOpen,
    /// A Close frame has been sent; nothing of the application may follow it.
    AlreadyClosing,
    /// A close code that must not be on the wire.
    UnsendableCode(u16),
    /// The payload of a ping or pong is longer than 125 bytes.
    ControlTooLong,
    /// A whole message cannot be sent between the fragments of another.
    FragmentInProgress,
    /// The fragments of one message must be of one kind.
    MixedKinds,
    /// The version that is spoken has no such thing: hixie-76 knows whole texts and nothing else.
    #[cfg(feature = "drafts")]
    NotInVersion,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("the connection is over"),
            Self::AlreadyClosing => f.write_str("the connection is being closed"),
            Self::UnsendableCode(code) => write!(f, "the close code {code} must not be sent"),
            Self::ControlTooLong => f.write_str("a control frame carries at most 125 bytes"),
            Self::FragmentInProgress => f.write_str("a fragmented message is not finished"),
            Self::MixedKinds => f.write_str("the fragments of a message must be of one kind"),
            #[cfg(feature = "drafts")]
            Self::NotInVersion => f.write_str("hixie-76 has whole texts and nothing else"),
        }
    }
}

impl std::error::Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CloseFrame;

    #[test]
    fn every_violation_has_a_sendable_answer() {
        let all = [
            Violation::ReservedBits,
            Violation::ReservedOpcode(3),
            Violation::FragmentedControl,
            Violation::ControlTooLong,
            Violation::UnmaskedFrame,
            Violation::MaskedFrame,
            Violation::NonMinimalLength,
            Violation::LengthOverflow,
            Violation::UnexpectedContinuation,
            Violation::ExpectedContinuation,
            Violation::FrameTooBig,
            Violation::MessageTooBig,
            Violation::TooManyFragments,
            Violation::InvalidText,
            Violation::BrokenDeflate,
            Violation::InflatesTooMuch,
            Violation::ShortClose,
            Violation::IllegalCloseCode(1005),
            Violation::InvalidCloseReason,
        ];
        for violation in all {
            assert!(violation.close_code().may_travel());
            assert!(violation.reason().len() <= CloseFrame::MAX_REASON_LEN);
            assert!(violation.to_string().contains("(RFC "));
        }
        assert_eq!(
            Violation::IllegalCloseCode(1005).to_string(),
            "illegal close code 1005 (RFC 6455 §7.4)"
        );
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<Violation>() <= 4);
        assert!(size_of::<Misuse>() <= 4);
    }
}
