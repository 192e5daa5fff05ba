//! The engine on the simulator: everything it promises, in virtual time.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod accepting;
mod by_hand;
mod callbacks;
#[cfg(feature = "drafts")]
mod draft;
mod ending;
mod outgoing;
mod pressure;
mod publishing;
mod segments;
mod soak;
mod support;
mod timing;
mod web;
