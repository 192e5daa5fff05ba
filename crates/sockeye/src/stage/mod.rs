//! The stages of a connection: how received bytes become calls of a protocol.
//!
//! Each stage drives one machine of the protocol core; the turn decides when. Stages know protocols
//! and machines; sockets only through the outbox and the link.

pub(crate) mod connect;
pub(crate) mod http;
mod race;
pub(crate) mod websocket;
