//! The protocol core of sockeye: RFC 6455 and HTTP/1.1 as values. Bytes in, events out, bytes
//! out, one deadline.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod close;
pub mod cx;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(feature = "deflate")]
mod extension;
pub mod frame;
pub mod handshake;
pub mod http;
pub mod limits;
pub mod mask;
pub mod utf8;
pub mod violation;
pub mod ws;

pub use self::bytes::{Bytes, Text};
pub use self::close::{CloseCode, CloseFrame};
pub use self::cx::{Cx, Shared};
pub use self::frame::{FrameHeader, Opcode};
pub use self::limits::{Limits, LimitsError};
pub use self::mask::Mask;
pub use self::violation::{Misuse, Violation};
