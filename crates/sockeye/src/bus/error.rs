//! Why a message could not be sent to another process.

use std::fmt;
use std::io;

/// Why [`Sender::send`](super::Sender::send) or [`try_send`](super::Sender::try_send) did not send.
/// Nothing of the message has been sent then.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The channel has no room now. Its [descriptor](super::Sender#impl-AsFd-for-Sender) becomes
    /// writable when it has.
    Full,
    /// Nobody receives any more: the engine has ended, and no other process has the receiver.
    Gone,
    /// The message is longer than [`Limits::bus_message_len`](crate::Limits::bus_message_len).
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The system refused: out of memory, for instance, or of descriptors.
    Io(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the channel is full: try again later"),
            Self::Gone => f.write_str("the engine at the other end of the channel has ended"),
            Self::TooLong { len, max } => {
                write!(
                    f,
                    "a message of {len} bytes; the limit bus_message_len is {max}"
                )
            }
            Self::Io(error) => write!(f, "send into the channel: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
