//! What can stop a blocking WebSocket.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::StatusCode;
use sockeye_proto::handshake::HandshakeError;
use sockeye_proto::http::{self as proto_http, HttpError};
use sockeye_proto::{Misuse, Violation};

use crate::protocol::CloseInfo;
use crate::tls::TlsError;

/// Why nothing was received or sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The connection is over. Told again by every later call.
    Closed(CloseInfo),
    /// A call of the operating system, or of the stream, failed.
    Io {
        /// What was being done, for example `read`.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The call does not fit the state of the connection. Nothing was sent.
    Misuse(Misuse),
    /// The time of the call is over. The connection is as it was, and the next call goes on where
    /// this one stopped.
    TimedOut,
    /// The peer broke the protocol. It was told by a Close frame, and the connection is over.
    Violation(Violation),
}

impl Error {
    /// How the connection ended, if it did.
    pub fn close_info(&self) -> Option<&CloseInfo> {
        match self {
            Self::Closed(info) => Some(info),
            _ => None,
        }
    }

    pub(super) fn io(operation: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io {
            operation,
            source: source.into(),
        }
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(info) => info.fmt(f),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::TimedOut => f.write_str("nothing came of it in time"),
            Self::Violation(violation) => write!(f, "the peer broke the protocol: {violation}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Misuse(misuse) => Some(misuse),
            Self::Violation(violation) => Some(violation),
            Self::Closed(_) | Self::TimedOut => None,
        }
    }
}

/// Why a client that connected did not become a WebSocket. It was answered, as far as there was
/// something to answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// The 101 cannot be written as the program wants it: a subprotocol that was not offered, or a
    /// header that is not its own. The client was answered with 500.
    Answer(proto_http::Misuse),
    /// The limits contradict each other.
    Config(String),
    /// It is a valid HTTP request, but no valid WebSocket handshake.
    Handshake(HandshakeError),
    /// What it sends is no HTTP, or too much of it.
    Http(HttpError),
    /// A call of the operating system, or of the stream, failed.
    Io {
        /// What was being done, for example `read`.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The program rejected it with this status.
    Rejected(StatusCode),
    /// The client did not ask for anything in time.
    TimedOut,
    /// The TLS handshake failed, or the settings are no good.
    Tls(TlsError),
}

impl AcceptError {
    pub(super) fn io(operation: &'static str, source: io::Error) -> Self {
        match TlsError::from_io(source) {
            Ok(error) => Self::Tls(error),
            Err(source) => Self::Io { operation, source },
        }
    }
}

impl From<TlsError> for AcceptError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(misuse) => misuse.fmt(f),
            Self::Config(problem) => write!(f, "configuration: {problem}"),
            Self::Handshake(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Io { operation, source } => write!(f, "{operation}: {source}"),
            Self::Rejected(status) => write!(f, "rejected with {status}"),
            Self::TimedOut => f.write_str("the client sent no request in time"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl StdError for AcceptError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Answer(misuse) => Some(misuse),
            Self::Handshake(error) => Some(error),
            Self::Http(error) => Some(error),
            Self::Io { source, .. } => Some(source),
            Self::Tls(error) => Some(error),
            Self::Config(_) | Self::Rejected(_) | Self::TimedOut => None,
        }
    }
}
