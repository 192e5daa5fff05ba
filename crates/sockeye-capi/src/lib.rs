//! The C API of libwebsockets as it was in the spring of 2011, over the sockeye engine.
//!
//! Programs of that time compile against `include/libwebsockets.h`, or were compiled against the
//! header of the time, and run with `libwebsockets.so.0` built from this crate. [`abi`] has the
//! types and numbers that they share with it, [`export`] the functions that they call.

pub mod abi;
mod bridge;
mod broadcast;
mod close;
mod connect;
mod context;
mod create;
pub mod export;
mod fork;
mod handle;
mod handshake;
mod http;
mod log;
mod memory;
mod peer;
mod process;
mod receive;
mod record;
mod service;
mod tls;
mod watch;
mod write;
