//! What is wrong with a certificate, in words that are the same whatever library found it.

use std::fmt;
use std::time::Duration;

use super::error::TlsError;

/// Why a certificate is not accepted.
#[derive(Debug)]
pub(super) enum Flaw {
    Expired {
        /// How long ago, as far as it is known.
        ago: Option<Duration>,
    },
    Missing,
    Name {
        /// What the certificate is for.
        presented: Vec<String>,
        expected: String,
    },
    NotYetValid {
        /// Till it is, as far as that is known.
        wait: Option<Duration>,
    },
    Purpose,
    /// The program's own verifier said no.
    Refused,
    Revoked,
    Signature,
    Untrusted,
    Other(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ago: Some(ago) } => write!(f, "certificate expired {} ago", Span(*ago)),
            Self::Expired { ago: None } => f.write_str("certificate expired"),
            Self::Missing => f.write_str("the peer showed no certificate"),
            Self::Name {
                presented,
                expected,
            } if presented.is_empty() => {
                write!(f, "certificate is for another name, not for {expected}")
            }
            Self::Name {
                presented,
                expected,
            } => write!(
                f,
                "certificate is for another name: {}, not {expected}",
                presented.join(", ")
            ),
            Self::NotYetValid { wait: Some(wait) } => {
                write!(f, "certificate becomes valid only in {}", Span(*wait))
            }
            Self::NotYetValid { wait: None } => f.write_str("certificate is not valid yet"),
            Self::Purpose => f.write_str("certificate is for another purpose"),
            Self::Refused => f.write_str("certificate is refused by the program"),
            Self::Revoked => f.write_str("certificate is revoked"),
            Self::Signature => f.write_str("certificate has a wrong signature"),
            Self::Untrusted => f.write_str("certificate is signed by nobody that is trusted here"),
            Self::Other(problem) => write!(f, "certificate: {problem}"),
        }
    }
}

impl From<&Flaw> for TlsError {
    fn from(flaw: &Flaw) -> Self {
        Self::Certificate(flaw.to_string())
    }
}

/// A time in the largest unit of which it has at least one.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..60 => (seconds, "second"),
            60..3_600 => (seconds / 60, "minute"),
            3_600..86_400 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
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
            (3 * 86_400 + 5, "3 days"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn names_are_told_when_there_are_any() {
        let name = |presented: &[&str]| Flaw::Name {
            presented: presented.iter().map(|&name| name.to_owned()).collect(),
            expected: "a.test".to_owned(),
        };
        assert_eq!(
            name(&["b.test", "192.0.2.1"]).to_string(),
            "certificate is for another name: b.test, 192.0.2.1, not a.test"
        );
        assert_eq!(
            name(&[]).to_string(),
            "certificate is for another name, not for a.test"
        );
    }
}
