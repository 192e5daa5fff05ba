//! The WebSocket machine from outside: golden dialogues, every way to cut them, machines talking
//! to each other, and each limit at its bound.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cut;
mod deadline;
#[cfg(feature = "deflate")]
mod deflate;
mod dialogue;
#[cfg(feature = "drafts")]
mod draft;
mod limit;
mod pair;
mod rig;
mod talk;
