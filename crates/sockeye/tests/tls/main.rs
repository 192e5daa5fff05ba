//! TLS under the whole engine: each backend as client against each as server, over loopback.

#![cfg(any(feature = "tls", feature = "openssl"))]
#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[allow(dead_code, reason = "shared with the unit tests, which use all of it")]
mod certificate;
mod client_certificate;
mod crowd;
mod foreign;
mod hardship;
mod idle;
#[cfg(feature = "openssl")]
mod own_context;
mod reload;
mod rig;
mod simulated;
mod talk;

use sockeye::tls::Backend;

/// The backends that are built in.
fn backends() -> Vec<Backend> {
    let mut backends = Vec::new();
    if cfg!(feature = "tls") {
        backends.push(Backend::Rustls);
    }
    if cfg!(feature = "openssl") {
        backends.push(Backend::OpenSsl);
    }
    backends
}

/// Every client with every server.
fn pairs() -> Vec<(Backend, Backend)> {
    let all = backends();
    all.iter()
        .flat_map(|&client| all.iter().map(move |&server| (client, server)))
        .collect()
}
