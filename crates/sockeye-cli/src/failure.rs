//! What ends a subcommand without success, each told in one line.
//!
//! Knows no exit status but the one of all failures; that of a wrong command line is clap's.

use std::fmt;
use std::io;

use sockeye::tls::TlsError;
use sockeye::{CloseInfo, FilesError};

/// Why a subcommand failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection ended in another way than agreed on.
    Closed(CloseInfo),
    /// The connection did not open; the engine's own words.
    Connect(String),
    /// Something about the engine, its sockets or its addresses.
    Engine(sockeye::Error),
    /// The folder to serve.
    Files(FilesError),
    /// Ctrl-C before there was anything to end in order.
    Interrupted,
    /// The input cannot be sent as it is.
    Input(String),
    /// A call of the operating system.
    Io {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server was asked to close and did not answer in time.
    NoClose,
    /// There is no such user or group.
    Nobody(String),
    /// Options that exclude each other.
    Options(&'static str),
    /// A password is needed, and nobody can be asked.
    Password(String),
    /// New certificates are not taken.
    Reload(Box<Self>),
}

impl Failure {
    pub(crate) fn io(operation: &'static str, source: io::Error) -> Self {
        Self::Io { operation, source }
    }
}

impl From<sockeye::Error> for Failure {
    fn from(error: sockeye::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        Self::Files(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(info) if info.clean => write!(f, "the server {info}"),
            Self::Closed(info) => info.fmt(f),
            Self::Connect(error) => f.write_str(error),
            Self::Engine(error) => error.fmt(f),
            Self::Files(error) => error.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Input(problem) => f.write_str(problem),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
            Self::NoClose => f.write_str("the server did not answer the Close frame"),
            Self::Nobody(problem) => f.write_str(problem),
            Self::Options(problem) => f.write_str(problem),
            Self::Password(problem) => f.write_str(problem),
            Self::Reload(failure) => {
                write!(f, "the certificates stay as they were: {failure}")
            }
        }
    }
}
