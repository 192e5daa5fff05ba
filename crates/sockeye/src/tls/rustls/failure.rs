//! What rustls says, in the words of [`TlsError`].

use std::net::IpAddr;
use std::time::Duration;

use ::rustls::{CertificateError, Error, InvalidMessage};

use crate::tls::alert;
use crate::tls::error::TlsError;
use crate::tls::flaw::Flaw;

pub(super) fn translate(error: Error) -> TlsError {
    match error {
        // What no TLS record begins with.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsError::NotTls,
        Error::AlertReceived(alert) => {
            TlsError::Alert(alert::meaning(u8::from(alert)).into_owned())
        }
        Error::InvalidCertificate(error) => (&flaw(error)).into(),
        Error::NoCertificatesPresented => (&Flaw::Missing).into(),
        other => TlsError::Protocol(other.to_string()),
    }
}

/// What is wrong with this side's own certificate or key.
pub(super) fn unusable(error: Error) -> TlsError {
    TlsError::Settings(match error {
        Error::InconsistentKeys(_) => "the private key does not fit the certificate".to_owned(),
        Error::InvalidCertificate(_) => "the certificate is damaged".to_owned(),
        other => other.to_string(),
    })
}

fn flaw(error: CertificateError) -> Flaw {
    match error {
        CertificateError::Expired => Flaw::Expired { ago: None },
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            Flaw::Expired {
                ago: Some(Duration::from_secs(ago)),
            }
        }
        CertificateError::NotValidYet => Flaw::NotYetValid { wait: None },
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = not_before.as_secs().saturating_sub(time.as_secs());
            Flaw::NotYetValid {
                wait: Some(Duration::from_secs(wait)),
            }
        }
        CertificateError::UnknownIssuer => Flaw::Untrusted,
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => Flaw::Name {
            presented: presented.iter().map(|name| plain(name)).collect(),
            expected: expected.to_str().into_owned(),
        },
        CertificateError::ApplicationVerificationFailure => Flaw::Refused,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Flaw::Purpose
        }
        CertificateError::Revoked => Flaw::Revoked,
        CertificateError::BadSignature => Flaw::Signature,
        CertificateError::Other(error) => Flaw::Other(error.to_string()),
        other => Flaw::Other(other.to_string()),
    }
}

/// The name in `DnsName("a.test")` or `IpAddress(192.0.2.1)`.
fn plain(name: &str) -> String {
    let inside = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    let name = inside.unwrap_or(name).trim_matches('"');
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_kind() {
        assert_eq!(plain("DnsName(\"a.test\")"), "a.test");
        assert_eq!(plain("IpAddress(192.0.2.1)"), "192.0.2.1");
        assert_eq!(plain("IpAddress(0::1)"), "::1");
        assert_eq!(plain("a.test"), "a.test");
    }
}
