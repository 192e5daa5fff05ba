//! The errors of the engine: each names the operation that failed and what it failed on, and
//! carries its source.
//!
//! What a peer does wrong never becomes an [`Error`]; it ends that peer's connection and is told
//! in [`CloseInfo`](crate::CloseInfo) or [`ConnectError`](crate::ConnectError).

use std::convert::Infallible;
use std::fmt;
use std::io;

use crate::net::{NetError, ParseBindError};
use crate::tls::TlsError;

/// Why the engine could not do what its owner asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call of the operating system failed.
    Io {
        /// What was being done, for example `listen on 127.0.0.1:80`.
        operation: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something about the network failed: binding, listening, privileges.
    Net(NetError),
    /// An address, a URL or a route could not be understood.
    Invalid {
        /// What was given.
        what: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// Certificates, keys or roots cannot be used.
    Tls(TlsError),
    /// It is no address to listen on.
    Bind(ParseBindError),
    /// A setting contradicts another one or is out of range.
    Config(String),
    /// [`Engine::run`](crate::Engine::run) was called on an engine that lives in a foreign loop,
    /// which has no poller of its own to wait with.
    ForeignLoop,
}

impl Error {
    pub(crate) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            operation: operation.into(),
            source,
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            problem: problem.into(),
        }
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl From<ParseBindError> for Error {
    fn from(error: ParseBindError) -> Self {
        Self::Bind(error)
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
            Self::Invalid { what, problem } => write!(f, "{what:?}: {problem}"),
            Self::Config(problem) => write!(f, "configuration: {problem}"),
            Self::ForeignLoop => f.write_str(
                "this engine is driven by a foreign loop: call `service` from there, not `run`",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Net(error) => Some(error),
            Self::Bind(error) => Some(error),
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}
