//! The client against servers and proxies that are slow, wrong, hostile or gone: most of it on a
//! simulated network in virtual time, what needs real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod malice;
mod proxy;
mod race;
mod redirect;
mod support;
mod trace;
mod uplink;
