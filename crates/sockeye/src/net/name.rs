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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_name() {
        let name = canonical_hostname();
        assert!(!name.is_empty());
        assert!(!name.contains(char::is_whitespace), "{name:?}");
    }

    #[test]
    fn an_address_is_no_name() {
        // Most machines call it `localhost`, but none has to.
        let name = peer_name(IpAddr::from([127, 0, 0, 1]));
        assert!(name.is_none_or(|name| !name.is_empty() && name.parse::<IpAddr>().is_err()));
    }
}
