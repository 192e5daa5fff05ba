//! TLS, as a decorator of the byte stream: identities, roots, and the settings of both sides.
//!
//! Knows certificates and settings as values. How records are made and read is the business of a
//! backend behind `session`; which connection uses it is the engine's. A server's settings
//! can be replaced while it runs: connections that are open keep what they began with.

#[cfg(any(feature = "tls", feature = "openssl"))]
mod alert;
mod backend;
mod client;
mod error;
#[cfg(any(feature = "tls", feature = "openssl"))]
mod flaw;
mod identity;
pub(crate) mod link;
#[cfg(feature = "openssl")]
mod openssl;
mod roots;
#[cfg(feature = "tls")]
mod rustls;
mod server;
pub(crate) mod session;

pub use self::backend::Backend;
pub use self::client::{ClientTls, ClientTlsOptions};
pub use self::error::TlsError;
pub use self::identity::Identity;
pub use self::roots::Roots;
pub use self::server::{ClientCertificates, ServerTls, ServerTlsOptions};
pub use self::session::TlsInfo;

#[cfg(all(test, any(feature = "tls", feature = "openssl")))]
mod suite;
