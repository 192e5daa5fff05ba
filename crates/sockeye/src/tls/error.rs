//! What can be wrong with TLS settings, and with a TLS peer.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why certificates, keys or roots cannot be used, or why a peer is not talked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or buffer is not PEM, or holds no item of the kind that is needed.
    Pem {
        /// Which file, or what the buffer was for.
        subject: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The backend does not take the settings: for example a key that does not fit its certificate.
    Settings(String),
    /// No certificate was given to a server.
    NoIdentity,
    /// No root certificate at all: nothing could ever be verified.
    NoRoots,
    /// The peer's certificate is not accepted.
    Certificate(String),
    /// The peer does not speak TLS.
    NotTls,
    /// The stream ended without the closing alert: what was received may be cut short.
    Truncated,
    /// The peer refused with an alert.
    Alert(String),
    /// The peer broke the protocol, or speaks no version or cipher that is allowed.
    Protocol(String),
}

impl TlsError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn pem(subject: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Pem {
            subject: subject.to_string(),
            problem: problem.to_string(),
        }
    }

    /// As the error of a byte stream. [`from_io`](Self::from_io) finds it again.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self {
            Self::Truncated => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }

    /// The TLS error inside an error of a byte stream.
    pub(crate) fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "read {}: {source}", path.display()),
            Self::Pem { subject, problem } => write!(f, "{subject}: {problem}"),
            Self::Settings(problem) => write!(f, "TLS settings: {problem}"),
            Self::NoIdentity => f.write_str("a TLS server needs a certificate and its key"),
            Self::NoRoots => {
                f.write_str("no root certificates: install the system's, or name a file with some")
            }
            Self::Certificate(problem) => f.write_str(problem),
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            Self::Truncated => f.write_str("the TLS stream was cut off"),
            Self::Alert(alert) => write!(f, "the peer refused: {alert}"),
            Self::Protocol(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
