//! The parameters of RFC 7692 §7.1, and the policy that the peer does not hear of.

use std::fmt;

use crate::ws::Role;

/// The size of an LZ77 window: a power of two, told by its exponent (RFC 7692 §7.1.2).
///
/// ```
/// use sockeye_proto::deflate::WindowBits;
/// let bits = WindowBits::new(12).unwrap();
/// assert_eq!((bits.get(), bits.window_len()), (12, 4096));
/// assert_eq!(WindowBits::new(16), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 256 bytes. Compressors of today's zlibs know no such window: a peer may ask us for it and
    /// is obeyed by finding only repetitions of a single byte.
    pub const MIN: Self = Self(8);
    /// 4 KiB: nearly all of the gain for messages of a few KiB.
    pub const SMALL: Self = Self(12);
    /// 32 KiB, the largest.
    pub const MAX: Self = Self(15);

    /// From 8 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= Self::MIN.0 && bits <= Self::MAX.0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Bytes of the window.
    pub const fn window_len(self) -> usize {
        1 << self.0
    }
}

impl fmt::Debug for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an endpoint wishes for, and what was agreed on.
///
/// The four parameters are the same for both roles; `server_` and `client_` name who compresses.
/// [`Settings::default`] keeps nothing between messages; [`Settings::takeover`] lets small messages
/// that resemble each other shrink to a few bytes, for 4 KiB a direction and connection.
///
/// ```
/// use sockeye_proto::deflate::Settings;
/// let settings = Settings { level: 6, min_len: 256, ..Settings::takeover() };
/// assert!(!settings.server_no_context_takeover);
/// assert_eq!(
///     settings.to_string(),
///     "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The server refers to no earlier message (RFC 7692 §7.1.1.1). Default true.
    pub server_no_context_takeover: bool,
    /// The client refers to no earlier message (RFC 7692 §7.1.1.2). Default true.
    pub client_no_context_takeover: bool,
    /// The server refers to nothing further back (RFC 7692 §7.1.2.1). Default 15.
    pub server_max_window_bits: WindowBits,
    /// The client refers to nothing further back; a client that cannot be told so is taken with
    /// 15 (RFC 7692 §7.1.2.2). Default 15.
    pub client_max_window_bits: WindowBits,
    /// How hard to look for repetitions, from 1 (fastest) to 9; more counts as 9. Default 0: level 1
    /// for messages below 256 bytes, where little is gained by more, and level 5 for others.
    pub level: u8,
    /// Bytes of the smallest message that is compressed; of a message in fragments, the first one
    /// counts. Default 1024: less would not save a packet.
    pub min_len: usize,
    /// How many times its size a message of more than 1 MiB may inflate to. Beyond: close 1009.
    /// Default `None`: only [`message_len`](crate::Limits::message_len) bounds it. DEFLATE's most
    /// is 1032; zeros and white space come near it, texts rarely go above 50.
    pub max_ratio: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
            level: 0,
            min_len: 1024,
            max_ratio: None,
        }
    }
}

impl Settings {
    /// Context takeover both ways, with windows of 12 bits, for messages from 32 bytes.
    pub fn takeover() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::SMALL,
            client_max_window_bits: WindowBits::SMALL,
            min_len: 32,
            ..Self::default()
        }
    }

    /// The window of what this role sends; whether it is kept between messages.
    pub(crate) const fn outgoing(&self, role: Role) -> (WindowBits, bool) {
        match role {
            Role::Server => (
                self.server_max_window_bits,
                !self.server_no_context_takeover,
            ),
            Role::Client => (
                self.client_max_window_bits,
                !self.client_no_context_takeover,
            ),
        }
    }

    /// As [`outgoing`](Self::outgoing), of what this role receives.
    pub(crate) const fn incoming(&self, role: Role) -> (WindowBits, bool) {
        match role {
            Role::Server => self.outgoing(Role::Client),
            Role::Client => self.outgoing(Role::Server),
        }
    }

    /// Bytes that a connection with these settings keeps between messages, at most.
    pub const fn kept_len(&self) -> usize {
        let mut len = 0;
        if !self.server_no_context_takeover {
            len += self.server_max_window_bits.window_len();
        }
        if !self.client_no_context_takeover {
            len += self.client_max_window_bits.window_len();
        }
        len
    }

    pub(super) fn without_takeover(self) -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..self
        }
    }
}

/// The parameters, as an answer of a server would have them.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::negotiation::NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_max_window_bits < WindowBits::MAX {
            write!(
                f,
                "; server_max_window_bits={}",
                self.server_max_window_bits
            )?;
        }
        if self.client_max_window_bits < WindowBits::MAX {
            write!(
                f,
                "; client_max_window_bits={}",
                self.client_max_window_bits
            )?;
        }
        Ok(())
    }
}
