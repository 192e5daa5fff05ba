//! Why an outgoing connection did not open: the step, what it was about, and the cause.

use std::fmt;
use std::io;

use sockeye_proto::handshake::HandshakeError;
use sockeye_proto::http;

use crate::tls::TlsError;

/// What was being done when an outgoing connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Looking the host's name up.
    Resolve,
    /// Connecting the socket.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The WebSocket opening handshake.
    Handshake,
}

/// Why an outgoing connection did not open. Says the step and the cause.
#[derive(Debug)]
pub struct ConnectError {
    pub(crate) step: Step,
    pub(crate) subject: String,
    pub(crate) cause: ConnectCause,
}

/// What stopped an outgoing connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectCause {
    /// This side gave it up, for example because the engine ends.
    Aborted,
    /// The server's answer is not what RFC 6455 §4.1 asks for, or it refused.
    Handshake(HandshakeError),
    /// The system said no.
    Io(io::Error),
    /// The request cannot be written as it was asked for.
    Request(http::Misuse),
    /// It was not done in time.
    TimedOut,
    /// No TLS with that server.
    Tls(TlsError),
}

impl ConnectError {
    /// What was being done.
    pub fn step(&self) -> Step {
        self.step
    }

    /// What stopped it.
    pub fn cause(&self) -> &ConnectCause {
        &self.cause
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match self.step {
            Step::Resolve => write!(f, "resolve {subject}: ")?,
            Step::Connect => write!(f, "connect {subject}: ")?,
            Step::Tls => write!(f, "TLS to {subject}: ")?,
            Step::Handshake => write!(f, "WebSocket handshake with {subject}: ")?,
        }
        match &self.cause {
            ConnectCause::Aborted => f.write_str("given up by this side"),
            ConnectCause::Handshake(error) => error.fmt(f),
            ConnectCause::Io(error) => error.fmt(f),
            ConnectCause::Request(misuse) => misuse.fmt(f),
            ConnectCause::TimedOut => f.write_str("timed out"),
            ConnectCause::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            ConnectCause::Handshake(error) => Some(error),
            ConnectCause::Io(error) => Some(error),
            ConnectCause::Request(misuse) => Some(misuse),
            ConnectCause::Tls(error) => Some(error),
            ConnectCause::Aborted | ConnectCause::TimedOut => None,
        }
    }
}
