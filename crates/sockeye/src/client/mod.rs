//! What a client needs besides a socket: options, the order of addresses, proxies, redirects,
//! backoff. Values and small machines without I/O, shared by the engine's connect stage and the
//! blocking face.

mod backoff;
mod error;
pub(crate) mod eyeballs;
mod options;

pub use self::backoff::Backoff;
pub use self::error::{ConnectCause, ConnectError, Step};
pub use self::options::ConnectOptions;
pub(crate) use self::options::Destination;
