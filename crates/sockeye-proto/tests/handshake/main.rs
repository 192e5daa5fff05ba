//! The opening handshake from outside: the server's table, the client's table, both together.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod accept;
mod connect;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "drafts")]
mod draft;
mod pair;
mod rig;
