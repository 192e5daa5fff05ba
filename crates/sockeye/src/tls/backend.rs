//! Which library does the work.

use super::error::TlsError;

/// A TLS library. All settings mean the same with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// rustls, with ring for the cryptography; feature `tls`.
    Rustls,
    /// The machine's OpenSSL, for those who need its certification or its engines; feature
    /// `openssl`. As a client it resumes no sessions.
    OpenSsl,
}

impl Default for Backend {
    /// rustls where it is built in.
    fn default() -> Self {
        if cfg!(feature = "tls") || !cfg!(feature = "openssl") {
            Self::Rustls
        } else {
            Self::OpenSsl
        }
    }
}

impl Backend {
    pub(super) fn missing(self) -> TlsError {
        let feature = match self {
            Self::Rustls => "tls",
            Self::OpenSsl => "openssl",
        };
        TlsError::Settings(format!("built without the feature {feature:?}"))
    }
}
