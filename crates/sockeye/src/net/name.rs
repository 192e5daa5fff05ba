//! Names of this and of other machines. Everything here may ask a name server and so block.

use std::net::IpAddr;

use dns_lookup::{AddrInfoHints, getaddrinfo, lookup_addr};
use nix::libc::AI_CANONNAME;

/// The name that the name service has for an address (reverse DNS), if it has one.
///
/// A name is what the owner of the address says it is: good for logs, not for decisions.
///
/// **This blocks**, for seconds when name servers do not answer: do not call it in a callback.
pub fn peer_name(address: IpAddr) -> Option<String> {
    lookup_addr(&address)
        .ok()
        .filter(|name| name.parse::<IpAddr>().is_err())
}

/// The full name of this machine as the name service knows it (`host.example.org`), else the bare
/// host name.
///
/// **This may block** on the name service.
pub fn canonical_hostname() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let hints = AddrInfoHints {
        flags: AI_CANONNAME,
        ..AddrInfoHints::default()
    };
    getaddrinfo(Some(&host), None, Some(hints))
        .ok()
        .and_then(|answers| answers.flatten().find_map(|answer| answer.canonname))
        .unwrap_or(host)
}
