//! The error of operations that name their object: which operation, on what, and why it failed.

use std::error::Error;
use std::fmt;
use std::io;

/// Something that was asked of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Finding the addresses of a name, or of a network interface.
    Resolve,
    /// Making a socket and giving it its address.
    Bind,
    /// Opening a bound socket to connections.
    Listen,
    /// Making a connection.
    Connect,
    /// Changing user or group, or dropping the supplementary groups.
    DropPrivileges,
}

/// A failed [`Operation`]. Displayed like `bind 127.0.0.1:80: Permission denied (os error 13)`.
#[derive(Debug)]
pub struct NetError {
    operation: Operation,
    subject: String,
    source: io::Error,
}

impl NetError {
    pub(crate) fn new(
        operation: Operation,
        subject: impl fmt::Display,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            operation,
            subject: subject.to_string(),
            source: source.into(),
        }
    }

    /// What failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// What it failed on: an address, a name, a path, a user id.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    pub(crate) fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The underlying error.
    pub fn into_io_error(self) -> io::Error {
        self.source
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Bind => "bind",
            Self::Listen => "listen on",
            Self::Connect => "connect",
            Self::DropPrivileges => "become",
        })
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.subject, self.source)
    }
}

impl Error for NetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
