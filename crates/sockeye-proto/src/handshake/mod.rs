//! The opening handshake of RFC 6455 §4, for both roles; with the feature `drafts` also those of
//! older versions.
//!
//! [`Accept`] judges an upgrade request and writes the 101; [`Connect`] writes the request and
//! judges the answer. The module knows HTTP heads and the handshake's headers, no frame and no
//! socket.
//!
//! Invariants: nothing is agreed on that was not offered; no byte behind a head is taken, so
//! frames that are glued to a handshake stay in the caller's input.

#![warn(clippy::indexing_slicing)]

mod accept;
#[cfg(feature = "drafts")]
mod challenge;
mod connect;
#[cfg(feature = "drafts")]
mod draft;
#[cfg(not(feature = "drafts"))]
#[path = "undrafted.rs"]
mod draft;
#[cfg(feature = "drafts")]
mod draft_connect;
mod error;
mod key;
mod origin;

pub use accept::Accept;
pub use connect::{Answer, Connect, ConnectRequest};
pub use error::{HandshakeError, Refusal};
pub use origin::OriginPolicy;
