//! WebSocket and HTTP engine: server and client on one event loop, yours or ours.

pub mod files;
pub mod http;
mod id;
#[allow(dead_code)]
pub mod net;
pub mod poll;
#[allow(dead_code)]
mod slab;
#[allow(dead_code)]
mod timer;
#[allow(dead_code)]
mod waker;

pub use id::ConnId;
