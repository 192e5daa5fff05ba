//! The client: from options to an open WebSocket, under one deadline.
//!
//! Knows the order of the steps: sockets are `dial`'s, and what proxies, servers and redirects say
//! is judged by the machines that the engine uses, too. Invariant: nothing that arrives moves the
//! deadline.

use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sockeye_proto::handshake::{Connect, HandshakeError};
use sockeye_proto::ws::{Config, Role};
use sockeye_proto::{Cx, Limits};

use super::dial::{connect_tcp, connect_unix, resolve};
use super::pipe::Pipe;
use super::receive::Input;
use super::stream::{Stream, TimedStream};
use super::tls::TlsStream;
use super::wait::{is_due, wait, watch};
use super::websocket::{About, WebSocket, seed};
use crate::client::{
    ConnectCause, ConnectError, ConnectOptions, Destination, Proxy, ProxyError, ProxyHandshake,
    ProxyKind, Step,
};
use crate::clock::Clock;
use crate::compression::{self, NO_WISH};
use crate::draft;
use crate::error::Error;
use crate::tls::{ClientTls, ClientTlsOptions, Roots, TlsError};

/// Makes connections as a client, with limits of its own.
///
/// ```no_run
/// use sockeye::Limits;
/// use sockeye::blocking::Connector;
///
/// let connector = Connector::new().limits(Limits {
///     message_len: 1024 * 1024,
///     ..Limits::default()
/// });
/// let websocket = connector.connect("wss://example.org/feed")?;
/// # Ok::<(), sockeye::ConnectError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Connector {
    limits: Limits,
}

impl Connector {
    /// With the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// All bounds on what a server can make the program spend.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects, and waits until the WebSocket is open. Looking the name up, connecting, the proxy,
    /// TLS, the handshake and redirects share one deadline,
    /// [`ConnectOptions::timeout`](crate::ConnectOptions::timeout), which no traffic extends.
    ///
    /// # Errors
    ///
    /// The step that failed, and why; see [`ConnectError`].
    pub fn connect<O>(&self, options: O) -> Result<WebSocket<Stream>, ConnectError>
    where
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let (mut options, deadline) = self.prepare(options)?;
        let mut redirects = 0;
        loop {
            let trip = Trip {
                limits: &self.limits,
                options: &options,
                deadline,
            };
            let error = match trip.reach().and_then(|stream| trip.open(stream)) {
                Ok(websocket) => return Ok(websocket),
                Err(error) => error,
            };
            let Some(refusal) = error.refusal() else {
                return Err(error);
            };
            let subject = options.destination().to_string();
            match options.follow(refusal, &mut redirects) {
                Ok(true) => {}
                Ok(false) => return Err(error),
                Err(problem) => {
                    return Err(ConnectError {
                        step: Step::Redirect,
                        subject,
                        cause: ConnectCause::Redirect(problem),
                    });
                }
            }
        }
    }

    /// Does the opening handshake over a stream of the caller's: connected, and with TLS on it if
    /// there is to be any. What the options say of the way to the server, redirects included, does
    /// not matter.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub fn handshake<S, O>(&self, stream: S, options: O) -> Result<WebSocket<S>, ConnectError>
    where
        S: TimedStream,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let (options, deadline) = self.prepare(options)?;
        let trip = Trip {
            limits: &self.limits,
            options: &options,
            deadline,
        };
        trip.open(stream)
    }

    fn prepare<O>(&self, options: O) -> Result<(ConnectOptions, Instant), ConnectError>
    where
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let now = Clock::read();
        let options = options.try_into().map_err(Into::into);
        let checked = options.and_then(|options: ConnectOptions| {
            let problem = |error| Error::Config(format!("{error}"));
            self.limits.check().map_err(problem)?;
            Ok(options)
        });
        let options = checked.map_err(|error| ConnectError {
            step: Step::Prepare,
            subject: "as asked".to_owned(),
            cause: ConnectCause::Setup(Box::new(error)),
        })?;
        let timeout = options.timeout.unwrap_or(self.limits.connect_timeout);
        let deadline = now.checked_add(timeout).unwrap_or(now);
        Ok((options, deadline))
    }
}

/// One attempt to get to one server.
struct Trip<'t> {
    limits: &'t Limits,
    options: &'t ConnectOptions,
    deadline: Instant,
}

impl Trip<'_> {
    fn error(&self, step: Step, cause: ConnectCause) -> ConnectError {
        let destination = self.options.destination();
        let subject = match (step, destination) {
            (Step::Resolve | Step::Tls, Destination::Tcp { host, .. }) => host,
            (_, destination) => destination.to_string(),
        };
        ConnectError {
            step,
            subject,
            cause,
        }
    }

    /// A stream to the server, with TLS on it if it is to have any.
    fn reach(&self) -> Result<Stream, ConnectError> {
        let options = self.options;
        let stream = match options.destination() {
            Destination::Unix(path) => {
                let late = || self.error(Step::Connect, ConnectCause::TimedOut);
                let stream = connect_unix(&path, self.deadline)
                    .map_err(|error| self.error(Step::Connect, ConnectCause::Io(error)))?;
                Stream::from(stream.ok_or_else(late)?)
            }
            Destination::Tcp { host, port } => self.reach_host(&host, port)?,
        };
        if !options.address.is_secure() {
            return Ok(stream);
        }
        let tls = match &options.tls {
            Some(tls) => Ok(tls.clone()),
            None => default_tls(),
        };
        tls.and_then(|tls| TlsStream::connect(stream, options.address.host(), &tls))
            .map(Stream::from)
            .map_err(|error| self.error(Step::Tls, ConnectCause::Tls(error)))
    }

    fn reach_host(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let lookup = |name: &str| env::var(name).ok();
        let proxy = self
            .options
            .chosen_proxy(&lookup)
            .map_err(|error| self.error(Step::Prepare, ConnectCause::Setup(Box::new(error))))?;
        let Some(proxy) = proxy else {
            return self.dial(host, port, |step, cause| self.error(step, cause));
        };
        let of_proxy = |step, cause| {
            let Proxy { host, port, .. } = &proxy;
            let subject = match step {
                Step::Resolve => format!("proxy {host}"),
                Step::Connect => format!("proxy {host}:{port}"),
                _ => format!("{host}:{port}"),
            };
            ConnectError {
                step,
                subject,
                cause,
            }
        };
        let server = match proxy.kind {
            ProxyKind::Http | ProxyKind::Socks5Names => host.to_owned(),
            ProxyKind::Socks5 => {
                let addresses = self.resolve(host, port, |step, cause| self.error(step, cause))?;
                let nowhere = || ConnectCause::Io(std::io::ErrorKind::NotFound.into());
                let address = addresses.first();
                let address = address.ok_or_else(|| self.error(Step::Resolve, nowhere()))?;
                address.ip().to_string()
            }
        };
        let stream = self.dial(&proxy.host, proxy.port, of_proxy)?;
        self.tunnel(stream, &proxy, &server, port)
            .map_err(|cause| of_proxy(Step::Proxy, cause))
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
        error: impl Fn(Step, ConnectCause) -> ConnectError,
    ) -> Result<Vec<std::net::SocketAddr>, ConnectError> {
        let known = self.options.known_addresses(host, port);
        if !known.is_empty() {
            return Ok(known);
        }
        resolve(host, port, self.deadline)
            .map_err(|problem| error(Step::Resolve, ConnectCause::Io(problem)))?
            .ok_or_else(|| error(Step::Resolve, ConnectCause::TimedOut))
    }

    fn dial(
        &self,
        host: &str,
        port: u16,
        error: impl Fn(Step, ConnectCause) -> ConnectError,
    ) -> Result<Stream, ConnectError> {
        let addresses = self.resolve(host, port, &error)?;
        connect_tcp(addresses, self.deadline)
            .map_err(|problem| error(Step::Connect, ConnectCause::Io(problem)))?
            .map(Stream::from)
            .ok_or_else(|| error(Step::Connect, ConnectCause::TimedOut))
    }

    /// Asks a proxy for a connection to the server.
    fn tunnel(
        &self,
        stream: Stream,
        proxy: &Proxy,
        host: &str,
        port: u16,
    ) -> Result<Stream, ConnectCause> {
        let mut pipe = Pipe::new(stream);
        let mut machine = ProxyHandshake::new(proxy, host, port, self.limits, pipe.output())
            .map_err(ConnectCause::Proxy)?;
        let mut input = Input::new();
        loop {
            match listen(&mut pipe, input.room(), self.deadline)? {
                None => return Err(ConnectCause::TimedOut),
                Some(0) => return Err(ConnectCause::Proxy(ProxyError::EndOfStream)),
                Some(len) => input.filled(len),
            }
            let (bytes, rest) = input.bytes();
            let is_open = machine
                .receive(bytes, pipe.output())
                .map_err(ConnectCause::Proxy)?;
            rest.left(&[]);
            if is_open {
                return Ok(pipe.into_parts().0);
            }
        }
    }

    /// Does the opening handshake.
    fn open<S: TimedStream>(&self, stream: S) -> Result<WebSocket<S>, ConnectError> {
        let handshake = |cause| self.error(Step::Handshake, cause);
        let config = Arc::new(Config::new(self.limits.clone(), self.options.delivery));
        let mut pipe = Pipe::new(stream);
        let mut shared = seed().map_err(|error| handshake(ConnectCause::Io(error)))?;
        let mut input = Input::new();
        let mut cx = Cx {
            now: Clock::read(),
            output: pipe.output(),
            shared: &mut shared,
            blocked: false,
        };
        // A pool for one connection costs as much as one for thousands: it must be asked for.
        let request = self.options.request(NO_WISH);
        let mut machine = Connect::new(request, Arc::clone(&config), &mut cx)
            .map_err(|misuse| handshake(ConnectCause::Request(misuse)))?
            .with_deadline(self.deadline);
        let mut answer = loop {
            let heard = listen(&mut pipe, input.room(), self.deadline);
            let step = match pipe.stream().is_handshaking() {
                true => Step::Tls,
                false => Step::Handshake,
            };
            let refused_or = |error, otherwise| match error {
                // A refusal is one even if the end of it got lost.
                Some(error @ HandshakeError::Refused(_)) => ConnectCause::Handshake(error),
                _ => otherwise,
            };
            let len = heard
                .map_err(|cause| refused_or(Some(machine.receive_eof()), cause))
                .and_then(|len| {
                    len.ok_or_else(|| {
                        let late = machine.handle_timeout(Clock::read());
                        refused_or(late, ConnectCause::TimedOut)
                    })
                })
                .map_err(|cause| self.error(step, cause))?;
            if len == 0 {
                let cause = ConnectCause::Handshake(machine.receive_eof());
                return Err(self.error(step, cause));
            }
            input.filled(len);
            let mut cx = Cx {
                now: Clock::read(),
                output: pipe.output(),
                shared: &mut shared,
                blocked: false,
            };
            let (mut cursor, rest) = input.bytes();
            let answer = machine
                .receive(&mut cursor, &mut cx)
                .map_err(|error| handshake(ConnectCause::Handshake(error)))?;
            rest.left(cursor);
            if let Some(answer) = answer {
                break answer;
            }
        };
        let outcome = compression::outcome(&mut answer);
        let wire = draft::agreed(&answer);
        let peer = pipe.stream().peer();
        let about = About {
            peer: peer.map_err(|error| handshake(ConnectCause::Io(error)))?,
            subprotocol: answer.subprotocol,
            headers: answer.headers,
        };
        let machine = compression::single(Role::Client, config, outcome, wire, Clock::read());
        Ok(WebSocket::new(pipe, machine, shared, input, about))
    }
}

/// Writes what waits, and reads once. `None`: the deadline has passed.
fn listen<S: TimedStream>(
    pipe: &mut Pipe<S>,
    room: &mut [u8],
    deadline: Instant,
) -> Result<Option<usize>, ConnectCause> {
    loop {
        let now = Clock::read();
        if is_due(Some(deadline), now) {
            return Ok(None);
        }
        pipe.write(now);
        match pipe.read(room) {
            Ok(None) => {}
            Ok(read) => return Ok(read),
            Err(error) => {
                return Err(match TlsError::from_io(error) {
                    Ok(error) => ConnectCause::Tls(error),
                    Err(error) => ConnectCause::Io(error),
                });
            }
        }
        let Some(descriptor) = pipe.stream().fd() else {
            return Ok(None);
        };
        wait(&mut [watch(descriptor, pipe.interest())], Some(deadline))
            .map_err(ConnectCause::Io)?;
    }
}

/// Trusts the machine's roots; they are read once.
fn default_tls() -> Result<ClientTls, TlsError> {
    static DEFAULT: Mutex<Option<ClientTls>> = Mutex::new(None);
    let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tls) = &*default {
        return Ok(tls.clone());
    }
    let tls = ClientTls::new(ClientTlsOptions::new(Roots::system()))?;
    *default = Some(tls.clone());
    Ok(tls)
}
