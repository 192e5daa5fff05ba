//! The command as scripts and people use it: the real binary, against itself and against peers
//! that are written out byte by byte.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod bench;
mod certificate;
mod client_options;
mod connect;
mod endpoint;
mod mirror;
mod peer;
mod ping;
mod process;
mod prompt;
mod reconnect;
mod serve;
mod terminal;
mod threads;
mod tls;
mod usage;
