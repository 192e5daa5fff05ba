//! The versions by name and number, and what a handshake agreed on.

use std::fmt;

use crate::close::CloseCode;

/// A version of the WebSocket protocol. They are ordered by age.
///
/// ```
/// use sockeye_proto::Version;
/// assert_eq!(Version::default(), Version::Rfc6455);
/// assert_eq!(Version::from_number(8), Some(Version::Hybi08));
/// assert!(Version::Hixie76.is_text_only());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-76, which is hybi-00: text only, no pings, no masking.
    Hixie76,
    /// draft-ietf-hybi-thewebsocketprotocol-04: its own opcodes, frames masked by SHA-1.
    Hybi04,
    /// The same, -05: frames masked by a nonce.
    Hybi05,
    /// The same, -06: a Close has a code.
    Hybi06,
    /// The same, -07: the frames of RFC 6455.
    Hybi07,
    /// The same, -08 to -12.
    Hybi08,
    /// RFC 6455, version 13 on the wire.
    #[default]
    Rfc6455,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 7] = [
        Self::Hixie76,
        Self::Hybi04,
        Self::Hybi05,
        Self::Hybi06,
        Self::Hybi07,
        Self::Hybi08,
        Self::Rfc6455,
    ];

    /// The value of `Sec-WebSocket-Version`; 0 for hixie-76, which has no such header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Hixie76 => 0,
            Self::Hybi04 => 4,
            Self::Hybi05 => 5,
            Self::Hybi06 => 6,
            Self::Hybi07 => 7,
            Self::Hybi08 => 8,
            Self::Rfc6455 => 13,
        }
    }

    /// The version of a [`number`](Self::number); `None` if it is not spoken here.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.number() == number)
    }

    /// Whether it has neither binary messages nor pings nor fragments.
    pub const fn is_text_only(self) -> bool {
        matches!(self, Self::Hixie76)
    }

    /// The version of a `Sec-WebSocket-Version`.
    pub(crate) fn from_header(value: &[u8]) -> Option<Self> {
        Some(match value {
            b"4" => Self::Hybi04,
            b"5" => Self::Hybi05,
            b"6" => Self::Hybi06,
            b"7" => Self::Hybi07,
            b"8" => Self::Hybi08,
            b"13" => Self::Rfc6455,
            _ => return None,
        })
    }

    /// The code as a Close of this version has it.
    pub(crate) fn close_code(self, code: CloseCode) -> u16 {
        match (self, code) {
            (Self::Hybi06 | Self::Hybi07 | Self::Hybi08, CloseCode::TOO_BIG) => TOO_LARGE,
            // hybi-06 ends its list with 1004.
            (Self::Hybi06, CloseCode::INVALID_DATA | CloseCode::POLICY) => {
                CloseCode::PROTOCOL.into()
            }
            _ => code.into(),
        }
    }

    /// The code that a Close of this version means.
    pub(crate) const fn meant_code(self, code: u16) -> u16 {
        match self {
            Self::Hybi06 | Self::Hybi07 | Self::Hybi08 if code == TOO_LARGE => 1009,
            _ => code,
        }
    }
}

/// 1004 until RFC 6455 took it back: a frame that is too large.
const TOO_LARGE: u16 = 1004;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hixie76 => f.write_str("hixie-76"),
            Self::Rfc6455 => f.write_str("RFC 6455"),
            _ => write!(f, "hybi-{:02}", self.number()),
        }
    }
}

/// What a handshake agreed on: the version, and the key that hybi-04 masks with. It makes a
/// [`WebSocket`](crate::ws::WebSocket::with_wire).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Wire {
    version: Version,
    key: Option<[u8; 20]>,
}

impl Wire {
    /// What a handshake elsewhere agreed on. `key` is that of hybi-04, the SHA-1 of both nonces and
    /// a GUID (§4.2); other versions have none.
    pub const fn new(version: Version, key: [u8; 20]) -> Self {
        let key = match version {
            Version::Hybi04 => Some(key),
            _ => None,
        };
        Self { version, key }
    }

    /// Of a version that needs no key.
    pub(crate) const fn plain(version: Version) -> Self {
        Self { version, key: None }
    }

    /// The version that is spoken.
    pub const fn version(&self) -> Version {
        self.version
    }

    pub(crate) const fn key(&self) -> Option<[u8; 20]> {
        self.key
    }
}

impl fmt::Debug for Wire {
    // The key stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.version).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let names: Vec<_> = Version::ALL.iter().map(ToString::to_string).collect();
        let expected = [
            "hixie-76", "hybi-04", "hybi-05", "hybi-06", "hybi-07", "hybi-08", "RFC 6455",
        ];
        assert_eq!(names, expected);
        for version in Version::ALL {
            assert_eq!(Version::from_number(version.number()), Some(version));
            let header = version.number().to_string();
            let found = Version::from_header(header.as_bytes());
            assert_eq!(found, Some(version).filter(|it| *it != Version::Hixie76));
        }
        for number in [1, 2, 3, 9, 12, 14, 255] {
            assert_eq!(Version::from_number(number), None);
        }
        assert!(Version::ALL.is_sorted());
    }

    #[test]
    fn codes_that_moved() {
        for version in Version::ALL {
            let moved = [Version::Hybi06, Version::Hybi07, Version::Hybi08].contains(&version);
            let too_big = if moved { 1004 } else { 1009 };
            assert_eq!(version.close_code(CloseCode::TOO_BIG), too_big);
            assert_eq!(version.meant_code(too_big), 1009);
            assert_eq!(version.close_code(CloseCode::NORMAL), 1000);
        }
        assert_eq!(Version::Hybi06.close_code(CloseCode::INVALID_DATA), 1002);
    }
}
