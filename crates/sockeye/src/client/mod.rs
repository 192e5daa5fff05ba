//! What a client needs besides a socket: options, the order of addresses, proxies, redirects,
//! backoff. Values and small machines without I/O, shared by the engine's connect stage and the
//! blocking face.

mod address;
mod backoff;
mod credentials;
mod error;
pub(crate) mod eyeballs;
mod options;
mod proxy;
mod redirect;
mod uplink;

pub(crate) use self::address::Destination;
pub use self::backoff::Backoff;
pub use self::error::{ConnectCause, ConnectError, Step};
pub use self::options::ConnectOptions;
pub use self::proxy::{Proxy, ProxyChoice, ProxyError, SocksReply};
pub(crate) use self::proxy::{ProxyHandshake, ProxyKind};
pub use self::redirect::RedirectError;
pub use self::uplink::{Attempt, UplinkId, UplinkQueue};
pub(crate) use self::uplink::{Holder, Verdict};
