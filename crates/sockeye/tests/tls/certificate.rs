//! Certificates of all kinds, made for each test run.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Somebody who vouches for others.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    fn issue(&self, mut params: CertificateParams, from: Duration, till: Duration) -> Pair {
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + from;
        params.not_after = epoch + till;
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// For a server of these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.issue(server(names), now() - DAY, now() + 30 * DAY)
    }

    /// Valid till this many days ago.
    pub(crate) fn expired_server(&self, names: &[&str], days: u32) -> Pair {
        let till = now() - days * DAY - Duration::from_secs(60);
        self.issue(server(names), till - DAY, till)
    }

    /// Valid in so many days.
    pub(crate) fn future_server(&self, names: &[&str], days: u32) -> Pair {
        let from = now() + days * DAY + Duration::from_secs(60);
        self.issue(server(names), from, from + DAY)
    }

    /// For a client of this name.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.issue(client(name), now() - DAY, now() + 30 * DAY)
    }

    pub(crate) fn expired_client(&self, name: &str, days: u32) -> Pair {
        let till = now() - days * DAY - Duration::from_secs(60);
        self.issue(client(name), till - DAY, till)
    }
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
}

/// A server's certificate that vouches for itself.
pub(crate) fn self_signed(names: &[&str], is_ca: bool) -> Pair {
    let mut params = server(names);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Pair {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}
