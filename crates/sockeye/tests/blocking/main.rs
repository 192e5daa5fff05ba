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
#[cfg(feature = "tls")]
mod tls;
