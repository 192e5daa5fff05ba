//! What rustls says, in the words of [`TlsError`].

use std::time::Duration;

use ::rustls::{CertificateError, Error};

use crate::tls::error::TlsError;

pub(super) fn translate(error: Error) -> TlsError {
    match error {
        Error::InvalidMessage(_) => TlsError::NotTls,
        Error::AlertReceived(alert) => TlsError::Alert(format!("{alert:?}")),
        Error::InvalidCertificate(error) => TlsError::Certificate(certificate(&error)),
        Error::NoCertificatesPresented => {
            TlsError::Certificate("the peer showed no certificate".to_owned())
        }
        other => TlsError::Protocol(other.to_string()),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "certificate expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            format!(
                "certificate expired {} ago",
                span(Duration::from_secs(since))
            )
        }
        CertificateError::NotValidYet => "certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = not_before.as_secs().saturating_sub(time.as_secs());
            format!(
                "certificate is valid only in {}",
                span(Duration::from_secs(until))
            )
        }
        CertificateError::UnknownIssuer => {
            "certificate is signed by nobody that is trusted here".to_owned()
        }
        CertificateError::NotValidForName => "certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "certificate is for {}, not for {}",
            presented.join(", "),
            expected.to_str(),
        ),
        CertificateError::ApplicationVerificationFailure => {
            "certificate is refused by the program".to_owned()
        }
        other => format!("certificate: {other}"),
    }
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_the_largest_unit_that_fits() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (150, "2 minutes"),
            (7_200, "2 hours"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_secs(3 * 86_400 + 5)), "3 days");
    }
}
