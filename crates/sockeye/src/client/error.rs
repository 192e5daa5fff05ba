//! Why an outgoing connection did not open: the step, what it was about, and the cause.

use std::fmt;
use std::io;

use sockeye_proto::handshake::{HandshakeError, Refusal};
use sockeye_proto::http;

use super::proxy::ProxyError;
use super::redirect::RedirectError;
use crate::error::Error;
use crate::tls::TlsError;

/// What was being done when an outgoing connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Getting ready: settings, proxies of the environment, room for one more connection.
    Prepare,
    /// Looking the host's name up.
    Resolve,
    /// Connecting the socket, to the proxy if there is one.
    Connect,
    /// Asking the proxy for a connection.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The WebSocket opening handshake.
    Handshake,
    /// Following a redirect.
    Redirect,
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
    /// The proxy said no.
    Proxy(ProxyError),
    /// The server leads elsewhere, and that is not gone along with.
    Redirect(RedirectError),
    /// The request cannot be written as it was asked for.
    Request(http::Misuse),
    /// It could not even begin.
    Setup(Box<Error>),
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

    /// The server's answer, if it answered but refused: status, headers, and the body up to
    /// [`Limits::refusal_body_len`](crate::Limits::refusal_body_len).
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.cause {
            ConnectCause::Handshake(HandshakeError::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match self.step {
            Step::Prepare => write!(f, "prepare to connect {subject}: ")?,
            Step::Resolve => write!(f, "resolve {subject}: ")?,
            Step::Connect => write!(f, "connect {subject}: ")?,
            Step::Proxy => write!(f, "proxy {subject}: ")?,
            Step::Tls => write!(f, "TLS to {subject}: ")?,
            Step::Handshake => write!(f, "WebSocket handshake with {subject}: ")?,
            Step::Redirect => write!(f, "redirect from {subject}: ")?,
        }
        match &self.cause {
            ConnectCause::Aborted => f.write_str("given up by this side"),
            ConnectCause::Handshake(error) => error.fmt(f),
            ConnectCause::Io(error) => error.fmt(f),
            ConnectCause::Proxy(error) => error.fmt(f),
            ConnectCause::Redirect(error) => error.fmt(f),
            ConnectCause::Request(misuse) => misuse.fmt(f),
            ConnectCause::Setup(error) => error.fmt(f),
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
            ConnectCause::Proxy(error) => Some(error),
            ConnectCause::Redirect(error) => Some(error),
            ConnectCause::Request(misuse) => Some(misuse),
            ConnectCause::Setup(error) => Some(error),
            ConnectCause::Tls(error) => Some(error),
            ConnectCause::Aborted | ConnectCause::TimedOut => None,
        }
    }
}
