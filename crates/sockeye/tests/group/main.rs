//! Several engines on several threads as one server, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod ending;
mod pressure;
mod rig;
mod spread;
#[allow(dead_code, reason = "each test needs a part of it")]
#[path = "../wire/mod.rs"]
mod wire;
