//! The names that a certificate is for (RFC 5280 §4.2.1.6, RFC 9525).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::openssl::x509::X509Ref;

/// All of them, for error messages.
pub(super) fn of(certificate: &X509Ref) -> Vec<String> {
    let names = certificate.subject_alt_names();
    names
        .iter()
        .flatten()
        .filter_map(|name| match (name.dnsname(), name.ipaddress()) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(bytes)) => address(bytes).map(|address| address.to_string()),
            (None, None) => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

/// The host names of a certificate, in lower case.
#[derive(Debug)]
pub(super) struct HostNames(Vec<String>);

impl HostNames {
    pub(super) fn of(certificate: &X509Ref) -> Self {
        let names = certificate.subject_alt_names();
        let names = names.iter().flatten().filter_map(|name| name.dnsname());
        Self(names.map(str::to_ascii_lowercase).collect())
    }

    /// Whether the certificate is for this name. `*.example.test` stands for exactly one label.
    pub(super) fn include(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.0.iter().any(|own| match own.strip_prefix("*.") {
            Some(own) => parent == Some(own),
            None => own == name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        let names = HostNames(vec!["a.test".to_owned(), "*.b.test".to_owned()]);
        for (name, included) in [
            ("a.test", true),
            ("A.Test.", true),
            ("x.a.test", false),
            ("b.test", false),
            ("x.b.test", true),
            ("x.y.b.test", false),
        ] {
            assert_eq!(names.include(name), included, "{name}");
        }
    }
}
