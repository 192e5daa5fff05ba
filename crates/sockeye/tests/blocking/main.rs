//! The blocking face: against the engine, against itself, and against peers that mean ill.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod conversation;
mod deadline;
mod engine;
mod half;
mod hostile;
mod memory;
mod rig;
mod serve;
#[cfg(any(feature = "tls", feature = "openssl"))]
mod tls;
