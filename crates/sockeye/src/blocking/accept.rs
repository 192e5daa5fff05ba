//! The server: from a connected stream to an open WebSocket, or to an answer that says why not.
//!
//! Knows one connection and one request. Invariants: the deadline of the request counts from the
//! start, TLS included; whoever is refused gets to read why, for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};
use sockeye_proto::handshake::{Accept, OriginPolicy};
use sockeye_proto::http::{self as proto_http, BodyPlan, Request, ResponseHead, Server};
use sockeye_proto::ws::{Config, Fate, Role};
use sockeye_proto::{Cx, Limits, Shared};

use super::error::AcceptError;
use super::pipe::Pipe;
use super::receive::Input;
use super::stream::TimedStream;
use super::wait::{earlier, is_due, wait, watch};
use super::websocket::{About, WebSocket, seed};
use crate::clock::Clock;
use crate::compression::{self, Outcome, Wish};
use crate::draft;
use crate::http::{Body, Response};
use crate::poll::Interest;
use crate::protocol::{AcceptOptions, Accepted, Peer, Reject};

/// A file is sent in pieces of this size.
const PIECE_LEN: usize = 64 * 1024;

/// Makes WebSockets of the connections that a listener accepts.
///
/// ```no_run
/// use std::net::TcpListener;
/// use sockeye::blocking::Acceptor;
/// use sockeye::{Accepted, Reject};
///
/// let acceptor = Acceptor::new().subprotocol("chat.v1");
/// let listener = TcpListener::bind("127.0.0.1:7681")?;
/// for stream in listener.incoming() {
///     let accepted = acceptor.accept_with(stream?, |request, _peer| match request.path() {
///         "/chat" => Ok(Accepted::new(request.query().map(str::to_owned))),
///         _ => Err(Reject::status(404)),
///     });
///     if let Ok((mut websocket, room)) = accepted {
///         websocket.send(room.as_deref().unwrap_or("lobby"))?;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Acceptor {
    limits: Limits,
    origin: OriginPolicy,
    subprotocols: Vec<String>,
    compression: Wish,
}

impl Acceptor {
    /// With the default limits, for clients that are no browsers or of the same origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// All bounds on what a client can make the program spend.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which pages may connect. The default is [`OriginPolicy::Same`].
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// Adds a subprotocol that is spoken. The first of the client's that is among them is agreed
    /// on, unless the program names one; a client that offers none of them is accepted without.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// The compression (permessage-deflate, RFC 7692) that clients which offer it get. Off unless it
    /// is called: what an engine has once, half a megabyte, is there for each connection here.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, settings: impl Into<Option<crate::deflate::Settings>>) -> Self {
        self.compression = settings.into();
        self
    }

    /// Waits for the opening handshake, and accepts it. A TCP stream is taken as it is: short
    /// messages arrive sooner with [`set_nodelay`](std::net::TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// Why it did not come to that; see [`AcceptError`].
    pub fn accept<S: TimedStream>(&self, stream: S) -> Result<WebSocket<S>, AcceptError> {
        let (websocket, ()) = self.accept_with(stream, |_, _| Ok(Accepted::new(())))?;
        Ok(websocket)
    }

    /// Waits for the opening handshake, and lets `decide` look at it: whether to accept, and what
    /// to say, as [`Protocol::accept`](crate::Protocol::accept) does. The session, which may be
    /// anything, is given back with the WebSocket. [`Accepted::overflow`] means nothing here: a
    /// call that sends waits.
    ///
    /// Takes at most [`Limits::handshake_timeout`](crate::Limits::handshake_timeout), TLS
    /// included, and after a refusal
    /// [`Limits::unwanted_body_timeout`](crate::Limits::unwanted_body_timeout) until the client is
    /// gone.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    pub fn accept_with<S, T>(
        &self,
        stream: S,
        decide: impl FnOnce(&Request<'_>, &Peer) -> Result<Accepted<T>, Reject>,
    ) -> Result<(WebSocket<S>, T), AcceptError>
    where
        S: TimedStream,
    {
        self.limits
            .check()
            .map_err(|error| AcceptError::Config(error.to_string()))?;
        let config = Arc::new(Config {
            limits: self.limits.clone(),
            ..Config::default()
        });
        let now = Clock::read();
        let mut visit = Visit {
            pipe: Pipe::new(stream),
            http: Server::new(Arc::clone(&config), now),
            shared: seed().map_err(|error| AcceptError::io("seed", error))?,
            patience: self.limits.write_stall_timeout,
        };
        let mut input = Input::new();
        loop {
            if let Err(error) = visit.fill(&mut input) {
                return Err(visit.refuse(error, &mut input));
            }
            let (mut cursor, rest) = input.bytes();
            let (http, mut cx) = visit.parts(Clock::read());
            let outcome = match http.receive(&mut cursor, &mut cx) {
                Ok(Some(proto_http::Event::Request(request))) => {
                    self.judge(&request, &mut visit, decide)
                }
                Ok(_) => continue,
                Err(error) => Err(Refusal::from(AcceptError::Http(error))),
            };
            rest.left(cursor);
            let (session, options, outcome) = match outcome {
                Ok(accepted) => accepted,
                Err(refusal) => return Err(visit.refuse(refusal, &mut input)),
            };
            return Ok((self.open(visit, input, config, options, outcome)?, session));
        }
    }

    /// Decides about a request, and writes the 101.
    fn judge<S: TimedStream, T>(
        &self,
        request: &Request<'_>,
        visit: &mut Visit<S>,
        decide: impl FnOnce(&Request<'_>, &Peer) -> Result<Accepted<T>, Reject>,
    ) -> Result<(T, AcceptOptions, Outcome), Refusal> {
        let mut accept = Accept::new(request, &self.origin).map_err(AcceptError::Handshake)?;
        let peer = visit.pipe.stream().peer();
        let peer = peer.map_err(|error| AcceptError::io("peer", error))?;
        let Accepted {
            session,
            mut options,
        } = decide(request, &peer).map_err(|reject| Refusal {
            error: AcceptError::Rejected(reject.response.status),
            response: Some(reject.response),
        })?;
        if options.subprotocol.is_none() {
            let agreed = accept.negotiate(&self.subprotocols);
            options.subprotocol = agreed.map(str::to_owned);
        }
        let (_, mut cx) = visit.parts(Clock::read());
        let outcome =
            compression::negotiate(&mut accept, &self.compression, &self.limits, cx.shared);
        accept
            .respond(options.subprotocol.as_deref(), &options.headers, &mut cx)
            .map_err(AcceptError::Answer)?;
        Ok((session, options, outcome))
    }

    fn open<S: TimedStream>(
        &self,
        visit: Visit<S>,
        input: Input,
        config: Arc<Config>,
        options: AcceptOptions,
        outcome: Outcome,
    ) -> Result<WebSocket<S>, AcceptError> {
        let Visit {
            mut pipe, shared, ..
        } = visit;
        let now = Clock::read();
        // A 101 fits into any socket's buffer; what does not goes out with what follows.
        pipe.write(now);
        let peer = pipe.stream().peer();
        let about = About {
            peer: peer.map_err(|error| AcceptError::io("peer", error))?,
            subprotocol: options.subprotocol,
            headers: options.headers,
        };
        let config = Arc::new(Config {
            delivery: options.delivery,
            ..Arc::unwrap_or_clone(config)
        });
        let machine = compression::single(Role::Server, config, outcome, draft::rfc6455(), now);
        Ok(WebSocket::new(pipe, machine, shared, input, about))
    }
}

/// Why a client is not accepted, and what it is told if that is the program's choice.
struct Refusal {
    error: AcceptError,
    response: Option<Box<Response>>,
}

impl From<AcceptError> for Refusal {
    fn from(error: AcceptError) -> Self {
        Self {
            error,
            response: None,
        }
    }
}

/// A connection that is no WebSocket yet.
struct Visit<S> {
    pipe: Pipe<S>,
    http: Server,
    shared: Shared,
    /// How long the client may take nothing of an answer.
    patience: Duration,
}

impl<S: TimedStream> Visit<S> {
    fn parts(&mut self, now: Instant) -> (&mut Server, Cx<'_>) {
        let cx = Cx {
            now,
            output: self.pipe.output(),
            shared: &mut self.shared,
            blocked: false,
        };
        (&mut self.http, cx)
    }

    /// Reads something, within the deadline of the request.
    fn fill(&mut self, input: &mut Input) -> Result<(), AcceptError> {
        loop {
            let now = Clock::read();
            if is_due(self.http.next_timeout(), now) {
                let (http, mut cx) = self.parts(now);
                let late = http.handle_timeout(&mut cx);
                return Err(match late.and_then(proto_http::Timeout::error) {
                    Some(error) => AcceptError::Http(error),
                    None => AcceptError::TimedOut,
                });
            }
            self.pipe.write(now);
            match self.pipe.read(input.room()) {
                Ok(Some(0)) => {
                    let (http, mut cx) = self.parts(now);
                    let cut = http.receive_eof(&mut cx);
                    let error = cut.err().unwrap_or(proto_http::HttpError::EndOfStream);
                    return Err(AcceptError::Http(error));
                }
                Ok(Some(len)) => {
                    input.filled(len);
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) => return Err(AcceptError::io("read", error)),
            }
            let Some(descriptor) = self.pipe.stream().fd() else {
                return Err(AcceptError::TimedOut);
            };
            let interest = self.pipe.interest();
            wait(&mut [watch(descriptor, interest)], self.http.next_timeout())
                .map_err(|error| AcceptError::io("wait", error))?;
        }
    }

    /// Answers as far as there is something to answer, and waits for the client to take it.
    fn refuse(&mut self, refusal: impl Into<Refusal>, input: &mut Input) -> AcceptError {
        let Refusal { error, response } = refusal.into();
        if self.http.can_respond() {
            // Whatever it asked for, there will be no second chance on this connection.
            self.http.drain();
            self.respond(response.map_or_else(|| explain(&error), |response| *response));
        }
        self.linger(input);
        error
    }

    fn respond(&mut self, response: Response) {
        let now = Clock::read();
        let Response {
            status,
            mut headers,
            mut body,
        } = response;
        if !headers.contains_key(header::DATE) {
            headers.insert(header::DATE, Clock::new(now).date());
        }
        let plan = match body.len() {
            // Nobody is going to hand the pieces over.
            None | Some(0) => BodyPlan::None,
            Some(len) => BodyPlan::Known(len),
        };
        let (http, mut cx) = self.parts(now);
        let head = ResponseHead { status, headers };
        let begun = http.respond(&head, plan, &mut cx);
        // A misuse is the program's: a 101, or a body that nobody may have. The client sees the end.
        if begun.is_err() {
            return self.http.abort();
        }
        if let Some(bytes) = body.bytes() {
            let _ = http.send_body(bytes, &mut cx);
        }
        if let Body::File(file) = &mut body
            && !http.is_head_request()
        {
            let mut piece = Vec::new();
            while file.remaining() > 0 {
                piece.clear();
                let read = file.read_piece(&mut piece, PIECE_LEN);
                let (http, mut cx) = self.parts(now);
                if read.is_err() || http.send_body(&piece, &mut cx).is_err() || !self.drain() {
                    return self.http.abort();
                }
            }
        }
        let (http, mut cx) = self.parts(Clock::read());
        let _ = http.finish(&mut cx);
    }

    /// Waits until the client has taken what is written. Returns whether it has.
    fn drain(&mut self) -> bool {
        loop {
            let now = Clock::read();
            self.pipe.write(now);
            if self.pipe.failed().is_some() {
                return false;
            }
            if !self.pipe.is_pending() {
                return true;
            }
            if !self.wait(self.pipe.write_interest(), None, now) {
                return false;
            }
        }
    }

    /// Waits for the stream. `false`: there is no point in going on.
    fn wait(&self, interest: Interest, deadline: Option<Instant>, now: Instant) -> bool {
        let stall = self.pipe.stall_deadline(self.patience);
        let deadline = earlier(deadline, stall);
        match self.pipe.stream().fd() {
            Some(descriptor) if !is_due(deadline, now) => {
                wait(&mut [watch(descriptor, interest)], deadline).is_ok()
            }
            _ => false,
        }
    }

    /// A close while bytes arrive would reset the connection before the client has read the answer
    /// (RFC 9112 §9.6): says that nothing follows, and waits for the client's end.
    fn linger(&mut self, input: &mut Input) {
        if !self.drain() || self.http.fate() != Fate::HalfClose {
            return self.pipe.shutdown_write();
        }
        self.pipe.shutdown_write();
        let deadline = self.http.next_timeout();
        loop {
            let now = Clock::read();
            match self.pipe.read(input.room()) {
                Ok(Some(1..)) if !is_due(deadline, now) => {}
                Ok(None) if self.wait(Interest::READ, deadline, now) => {}
                _ => return,
            }
        }
    }
}

/// What a client is told that the program has not answered itself.
fn explain(error: &AcceptError) -> Response {
    let head = match error {
        AcceptError::Handshake(error) => error.response(),
        AcceptError::Http(error) => error.response(),
        _ => ResponseHead {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            headers: HeaderMap::new(),
        },
    };
    let explanation = match error {
        AcceptError::Handshake(_) | AcceptError::Http(_) => error.to_string(),
        // What is wrong with the program is nobody else's business.
        _ => "the server is not able to accept this".to_owned(),
    };
    let mut response = Response::error(head.status, &explanation);
    response.headers.extend(head.headers);
    response
}

#[cfg(test)]
mod tests {
    use sockeye_proto::handshake::HandshakeError;

    use super::*;

    #[test]
    fn an_error_of_the_program_is_not_shown() {
        let error = AcceptError::Answer(proto_http::Misuse::SubprotocolNotOffered);
        let response = explain(&error);
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        let shown = String::from_utf8_lossy(response.body.bytes().unwrap()).into_owned();
        assert!(!shown.contains("offer"), "{shown}");
        let refused = explain(&AcceptError::Handshake(HandshakeError::Version));
        assert_eq!(refused.headers["sec-websocket-version"], "13");
    }
}
