//! What the environment says about proxies.
//!
//! The variables have no standard; this is what curl, Python and Go agree on. Knows no process:
//! whoever asks brings the lookup.

use std::net::IpAddr;

use super::Proxy;
use crate::error::Error;

impl Proxy {
    /// The proxy for a host (as it is in a URL), if there is one.
    ///
    /// # Errors
    ///
    /// A variable that matters is no proxy. Connecting past it could show somebody what was meant
    /// to stay hidden.
    pub(crate) fn from_environment(
        secure: bool,
        host: &str,
        port: u16,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        let host = host.strip_suffix('.').unwrap_or(host);
        if is_this_machine(host) {
            return Ok(None);
        }
        // `HTTP_PROXY` in capitals can come from a request's `Proxy:` header, by CGI.
        let names: &[&'static str] = match secure {
            false => &["http_proxy", "all_proxy", "ALL_PROXY"],
            true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        };
        let set = |name: &&'static str| {
            let value = lookup(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| (*name, value.to_owned()))
        };
        let Some((name, value)) = names.iter().find_map(set) else {
            return Ok(None);
        };
        let exempt = ["no_proxy", "NO_PROXY"].iter().find_map(set);
        if exempt.is_some_and(|(_, list)| lists(&list, host, port)) {
            return Ok(None);
        }
        match value.parse() {
            Ok(proxy) => Ok(Some(proxy)),
            Err(Error::Invalid { what, problem }) => {
                let problem = format!("the environment's {name}: {problem}");
                Err(Error::Invalid { what, problem })
            }
            Err(error) => Err(error),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let is_localhost = host == "localhost" || host.ends_with(".localhost");
    is_localhost || literal(host).is_some_and(|address| address.is_loopback())
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(host).parse().ok()?;
    Some(address.to_canonical())
}

/// Whether a list of exceptions names the host: `*`, names (which stand for everything below them,
/// too), addresses, networks; each but `*` and networks may have a port.
fn lists(list: &str, host: &str, port: u16) -> bool {
    list.split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || is_meant(entry, host, port))
}

fn is_meant(entry: &str, host: &str, port: u16) -> bool {
    let address = literal(host);
    if let Some((network, bits)) = entry.split_once('/') {
        let (Some(address), Some(network)) = (address, literal(network)) else {
            return false;
        };
        return bits
            .parse()
            .is_ok_and(|bits| is_within(address, network, bits));
    }
    if let Some(named) = literal(entry) {
        return address == Some(named);
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, digits)) => match digits.parse::<u16>() {
            Ok(only) => (name, Some(only)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    if let Some(named) = literal(name) {
        return address == Some(named);
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if address.is_some() || name.is_empty() || host.len() < name.len() {
        return false;
    }
    let (sub, end) = host.as_bytes().split_at(host.len() - name.len());
    end.eq_ignore_ascii_case(name.as_bytes()) && matches!(sub, [] | [.., b'.'])
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(secure: bool, host: &str, variables: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        };
        let found = Proxy::from_environment(secure, host, 80, &lookup).unwrap();
        found.map(|proxy| proxy.host)
    }

    #[test]
    fn which_variable() {
        let all = [
            ("http_proxy", "plain:1"),
            ("HTTP_PROXY", "httpoxy:1"),
            ("https_proxy", "secure:1"),
            ("HTTPS_PROXY", "capital:1"),
            ("all_proxy", "any:1"),
            ("ALL_PROXY", "capital-any:1"),
        ];
        for (secure, from, expected) in [
            (false, 0, Some("plain")),
            (false, 1, Some("any")),
            (true, 0, Some("secure")),
            (true, 3, Some("capital")),
            (true, 4, Some("any")),
            (true, 5, Some("capital-any")),
            (false, 5, Some("capital-any")),
            (true, 6, None),
        ] {
            assert_eq!(proxy(secure, "a.test", &all[from..]).as_deref(), expected);
        }
        assert_eq!(proxy(false, "a.test", &[("HTTP_PROXY", "httpoxy:1")]), None);
        let empty = [("http_proxy", " "), ("all_proxy", "any:1")];
        assert_eq!(proxy(false, "a.test", &empty).as_deref(), Some("any"));
    }

    #[test]
    fn this_machine_is_never_behind_a_proxy_of_the_environment() {
        for host in [
            "localhost",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(proxy(false, host, &[("http_proxy", "p:1")]), None, "{host}");
        }
        for host in ["localhost.test", "128.0.0.1", "[::2]", "notlocalhost"] {
            assert!(
                proxy(false, host, &[("http_proxy", "p:1")]).is_some(),
                "{host}"
            );
        }
    }

    #[test]
    fn exceptions() {
        for (list, host, listed) in [
            ("*", "a.test", true),
            ("a.test", "a.test", true),
            ("a.test", "A.test", true),
            ("a.test", "b.a.test", true),
            ("a.test", "ba.test", false),
            (".a.test", "a.test", true),
            (".a.test", "b.a.test", true),
            ("*.a.test", "b.a.test", true),
            ("a.test.", "a.test", true),
            ("a.test", "a.test.", true),
            ("b.a.test", "a.test", false),
            ("x, a.test ,y", "a.test", true),
            ("x y a.test", "a.test", true),
            ("a.test:80", "a.test", true),
            ("a.test:81", "a.test", false),
            ("a.test:x", "a.test", false),
            ("", "a.test", false),
            (".", "a.test", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1:80", "10.0.0.1", true),
            ("10.0.0.1:81", "10.0.0.1", false),
            ("0.1", "10.0.0.1", false),
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("10.0.0.0/8", "a.test", false),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/8", "[fe80::1]", false),
            ("fd12::1", "[fd12::1]", true),
            ("[fd12::1]:80", "[fd12::1]", true),
            ("[fd12::1]:81", "[fd12::1]", false),
            ("ä", "xn--4ca", false),
        ] {
            assert_eq!(
                lists(list, host.trim_end_matches('.'), 80),
                listed,
                "{list:?} {host}"
            );
        }
        let variables = [("http_proxy", "p:1"), ("NO_PROXY", "a.test")];
        assert_eq!(proxy(false, "a.test.", &variables), None);
        let lower_first = [
            ("http_proxy", "p:1"),
            ("no_proxy", "b.test"),
            ("NO_PROXY", "a.test"),
        ];
        assert!(proxy(false, "a.test", &lower_first).is_some());
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_variable() {
        let lookup = |name: &str| (name == "http_proxy").then(|| "gopher://u:secret@p".to_owned());
        let error = Proxy::from_environment(false, "a.test", 80, &lookup).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("http_proxy") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
