//! The client against servers and proxies that are slow, wrong, hostile or gone: most of it on a
//! simulated network in virtual time, what needs real sockets on loopback.

mod malice;
mod proxy;
mod race;
mod redirect;
mod support;
mod uplink;
