//! Compression in the engine: what is agreed on, what it costs in memory, and what it spares when
//! many get the same.
#![cfg(feature = "deflate")]
#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod counting;
mod memory;
mod overflow;
