//! What a program says about its connections: the [`Protocol`] trait and the values its methods
//! take and give.
//!
//! A protocol knows sessions and connections; it never sees a socket, and its methods never nest:
//! whatever one of them causes reaches the next one only after it returned.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, StatusCode};
use sockeye_proto::http::Request;
use sockeye_proto::ws::{Chunk, Delivery, Lost, Message, Prepared};
use sockeye_proto::{Bytes, CloseCode, Text, Violation};

use crate::client::{Attempt, ConnectError, UplinkId};
use crate::conn::Conn;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::http::Response;
use crate::net::PeerAddr;
use crate::tls::TlsInfo;

/// A protocol: one value that serves all its connections, and a session for each of them.
///
/// Every method has a default that does the least surprising thing; a server must override
/// [`accept`](Self::accept).
/// Methods are called on the loop's thread, one at a time; a [`Conn`] appends and marks, and the
/// loop writes once the method has returned.
///
/// ```
/// use sockeye::{Accepted, Conn, Peer, Protocol, Reject, Request, Text};
///
/// struct Greeter;
///
/// impl Protocol for Greeter {
///     type Session = u32;
///
///     fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<u32>, Reject> {
///         match request.query() {
///             Some("banned") => Err(Reject::status(403)),
///             _ => Ok(Accepted::new(0)),
///         }
///     }
///
///     fn on_text(&mut self, conn: &mut Conn<'_>, count: &mut u32, text: Text<'_>) {
///         *count += 1;
///         conn.send(&format!("hello {}, message {count}", &*text));
///     }
/// }
/// ```
pub trait Protocol: 'static {
    /// What the program keeps for each connection: made by [`accept`](Self::accept) (or given to
    /// [`Engine::connect`](crate::Engine::connect)), given back to [`on_close`](Self::on_close).
    type Session: 'static;

    /// A request to become a WebSocket arrived, before it is looked at any further. Whoever answers
    /// it here ([`Exchange::respond`]) or ends the connection ([`Core::hang_up`], [`Core::abort`])
    /// has decided; otherwise it is judged, and if it is valid [`accept`](Self::accept) follows at
    /// once.
    fn on_upgrade(&mut self, http: &mut Exchange<'_>, request: &Request<'_>) {
        let _ = (http, request);
    }

    /// Decides about a WebSocket opening handshake that is valid as such. Refuses with 404 unless
    /// overridden, which is right for a protocol that is only a client.
    ///
    /// # Errors
    ///
    /// A [`Reject`] is the HTTP answer that the client gets instead.
    fn accept(
        &mut self,
        request: &Request<'_>,
        peer: &Peer,
    ) -> Result<Accepted<Self::Session>, Reject> {
        let _ = (request, peer);
        Err(Reject::status(404))
    }

    /// The connection is open, as server or as client.
    fn on_open(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session) {
        let _ = (conn, session);
    }

    /// A whole text message arrived.
    fn on_text(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session, text: Text<'_>) {
        let _ = (conn, session, text);
    }

    /// A whole binary message arrived.
    fn on_binary(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session, data: Bytes<'_>) {
        let _ = (conn, session, data);
    }

    /// A piece of a message arrived; only with [`Delivery::Streaming`].
    fn on_chunk(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session, chunk: Chunk<'_>) {
        let _ = (conn, session, chunk);
    }

    /// There is room again, after [`Conn::request_writable`]. Once per request.
    fn on_writable(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session) {
        let _ = (conn, session);
    }

    /// A Ping arrived. The Pong is taken care of: this is for those who watch.
    fn on_ping(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session, data: Bytes<'_>) {
        let _ = (conn, session, data);
    }

    /// A Pong arrived: the answer to a Ping, or one that nobody asked for.
    fn on_pong(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session, data: Bytes<'_>) {
        let _ = (conn, session, data);
    }

    /// The time set by [`Conn::set_timeout`] has come. Closes the connection with 1001 unless
    /// overridden.
    fn on_timeout(&mut self, conn: &mut Conn<'_>, session: &mut Self::Session) {
        let _ = session;
        conn.close(CloseCode::GOING_AWAY, "timed out");
    }

    /// A message for every connection of this protocol. Sends it, unless overridden.
    fn on_broadcast(
        &mut self,
        conn: &mut Conn<'_>,
        session: &mut Self::Session,
        message: &Prepared,
    ) {
        let _ = session;
        conn.send_prepared(message);
    }

    /// A message came out of a [`bus`](crate::bus). Says whether every open connection is to be told
    /// by [`on_broadcast`](Self::on_broadcast), which is the default. A protocol that knows better
    /// who is meant says no, and publishes to a topic for instance.
    fn on_bus_message(&mut self, core: &mut Core, message: &Prepared) -> bool {
        let _ = (core, message);
        true
    }

    /// Nobody can send into a [`bus`](crate::bus) of this protocol any more: every process that could
    /// has ended or dropped its sender. A server that serves for one of them ends now, by
    /// [`Handle::shutdown`](crate::Handle::shutdown). Not called during a shutdown.
    fn on_bus_end(&mut self, core: &mut Core) {
        let _ = core;
    }

    /// The connection is over; exactly once for each session that was opened. Nothing can be sent
    /// any more.
    fn on_close(&mut self, conn: &mut Conn<'_>, session: Self::Session, info: &CloseInfo) {
        let _ = (conn, session, info);
    }

    /// An outgoing connection could not be opened; the session comes back.
    fn on_connect_error(&mut self, core: &mut Core, session: Self::Session, error: &ConnectError) {
        let _ = (core, session, error);
    }

    /// An uplink is about to connect, for the first time or again. Gives the session for this
    /// attempt; `None`, the default, gives the uplink up. The options may be changed, for example to
    /// try another server or to send a fresh token.
    fn on_uplink(&mut self, core: &mut Core, attempt: &mut Attempt) -> Option<Self::Session> {
        let _ = (core, attempt);
        None
    }

    /// An uplink has given up: [`on_uplink`](Self::on_uplink) gave no session, or too many attempts
    /// failed. Not called when the program ends it.
    fn on_uplink_end(&mut self, core: &mut Core, uplink: UplinkId) {
        let _ = (core, uplink);
    }

    /// The largest request body, in bytes, that [`on_request`](Self::on_request) wants for this
    /// request. Zero: a body is read past, within the limits for unwanted ones. A larger body is
    /// answered with 413.
    fn body_limit(&mut self, request: &Request<'_>) -> u64 {
        let _ = request;
        0
    }

    /// A plain HTTP request on a route of this protocol. `body` is empty unless
    /// [`body_limit`](Self::body_limit) asked for it. To answer later, remember
    /// [`Exchange::id`] and call [`Core::respond`]. Unless overridden, answers 426 to GET and HEAD,
    /// and 405 to other methods, which no WebSocket handshake has.
    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, body: &[u8]) {
        let _ = body;
        http.respond(match request.method() {
            "GET" | "HEAD" => Response::upgrade_required(),
            _ => Response::method_not_allowed("GET, HEAD"),
        });
    }
}

/// The name of a hosted protocol: typed, copied freely, sent to other threads.
pub struct ProtocolKey<P> {
    pub(crate) index: u16,
    protocol: PhantomData<fn() -> P>,
}

impl<P> ProtocolKey<P> {
    pub(crate) fn new(index: u16) -> Self {
        Self {
            index,
            protocol: PhantomData,
        }
    }
}

impl<P> Clone for ProtocolKey<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for ProtocolKey<P> {}

impl<P> PartialEq for ProtocolKey<P> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<P> Eq for ProtocolKey<P> {}

impl<P> fmt::Debug for ProtocolKey<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolKey({})", self.index)
    }
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    addr: PeerAddr,
    tls: Option<TlsInfo>,
}

impl Peer {
    pub(crate) fn new(addr: PeerAddr, tls: Option<TlsInfo>) -> Self {
        Self { addr, tls }
    }

    /// What the TLS handshake agreed on, with the peer's certificates; `None` without TLS, and
    /// before the handshake is over.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// The peer's address.
    pub fn addr(&self) -> &PeerAddr {
        &self.addr
    }

    /// The peer's IP address, if it came by TCP. An IPv4 address that arrived on an IPv6 socket is
    /// given as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.addr {
            PeerAddr::Tcp(addr) => Some(addr.ip().to_canonical()),
            PeerAddr::Unix => None,
        }
    }
}

/// What happens to a message for a connection whose backlog is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The connection is cut: it cannot follow.
    #[default]
    Close,
    /// The message is not queued, and `send` says so.
    DropNewest,
    /// The oldest whole messages that wait are dropped until the new one fits.
    DropOldest,
}

/// The answer of [`Protocol::accept`]: the session, and what the handshake says.
#[derive(Debug)]
pub struct Accepted<S> {
    pub(crate) session: S,
    pub(crate) options: AcceptOptions,
}

/// The part of [`Accepted`] that does not depend on the session's type.
#[derive(Debug, Default)]
pub(crate) struct AcceptOptions {
    pub(crate) subprotocol: Option<String>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) delivery: Delivery,
    pub(crate) overflow: Overflow,
}

impl<S> Accepted<S> {
    /// Accepts with this session.
    pub fn new(session: S) -> Self {
        Self {
            session,
            options: AcceptOptions::default(),
        }
    }

    /// Names the subprotocol that is spoken, which must be one that the client offered; otherwise
    /// the handshake is answered with 500. Without this call, it is the one that the route was
    /// chosen by, if any.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.options.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the 101 answer, for example a cookie.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.options.headers.append(name, value);
        self
    }

    /// How messages are handed over: whole (the default) or as chunks while they arrive.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.options.delivery = delivery;
        self
    }

    /// What happens when this connection's backlog is full. The default is to close it.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.options.overflow = overflow;
        self
    }
}

/// The HTTP answer to a handshake that the program does not accept.
#[derive(Debug)]
pub struct Reject {
    /// Behind a pointer, so that accepting does not pay for it.
    pub(crate) response: Box<Response>,
}

impl Reject {
    /// Rejects with a status between 400 and 599; any other number becomes 500.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|s| s.is_client_error() || s.is_server_error())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::from(Response::status(status))
    }
}

impl From<Response> for Reject {
    /// Rejects with any answer, for example a redirect or a request for credentials.
    fn from(response: Response) -> Self {
        Self {
            response: Box::new(response),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The code of the peer's Close frame; 1005 if it had none, 1006 if none came (RFC 6455
    /// §7.1.5).
    pub code: CloseCode,
    /// The reason that the peer gave, or empty.
    pub reason: String,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// What ended it.
    pub cause: CloseCause,
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// This side gave it up at once, by [`Conn::abort`] or at the end of a shutdown.
    Aborted,
    /// Its backlog was full and its policy is [`Overflow::Close`].
    Backlog,
    /// The closing handshake, begun by either side.
    Handshake,
    /// The socket failed.
    Io(io::ErrorKind),
    /// It ended without a closing handshake.
    Lost(Lost),
    /// The peer took nothing of what waits for it, for too long.
    Stalled,
    /// The TLS stream ended without the peer's word that it is complete.
    Truncated,
    /// The peer broke the protocol.
    Violation(Violation),
}

impl CloseInfo {
    pub(crate) fn unclean(cause: CloseCause) -> Self {
        let code = match cause {
            CloseCause::Violation(violation) => violation.close_code(),
            _ => CloseCode::ABNORMAL,
        };
        Self {
            code,
            reason: String::new(),
            clean: false,
            cause,
        }
    }

    pub(crate) fn handshake(code: CloseCode, reason: String) -> Self {
        Self {
            code,
            reason,
            clean: true,
            cause: CloseCause::Handshake,
        }
    }
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            CloseCause::Handshake => {
                write!(f, "closed with {}", u16::from(self.code))?;
                if self.reason.is_empty() {
                    Ok(())
                } else {
                    write!(f, " {:?}", self.reason)
                }
            }
            CloseCause::Aborted => f.write_str("aborted by this side"),
            CloseCause::Backlog => f.write_str("too much waits for the peer to read it"),
            CloseCause::Io(kind) => write!(f, "connection lost: {kind}"),
            CloseCause::Lost(lost) => write!(f, "connection lost: {lost}"),
            CloseCause::Truncated => f.write_str("the TLS stream was cut off"),
            CloseCause::Stalled => f.write_str("the peer stopped reading"),
            CloseCause::Violation(violation) => {
                write!(f, "the peer broke the protocol: {violation}")
            }
        }
    }
}

/// A protocol from a closure that gets every whole message, for programs that need no session.
///
/// ```
/// # fn main() -> Result<(), sockeye::Error> {
/// let mut engine = sockeye::Engine::new()?;
/// let echo = engine.host(sockeye::on_message(|conn, message| {
///     conn.send(message);
/// }));
/// engine.listen("127.0.0.1:0")?.route("/echo", echo);
/// # Ok(())
/// # }
/// ```
pub fn on_message<F>(on_message: F) -> OnMessage<F>
where
    F: FnMut(&mut Conn<'_>, Message<'_>) + 'static,
{
    OnMessage { on_message }
}

/// The protocol made by [`on_message()`].
pub struct OnMessage<F> {
    on_message: F,
}

impl<F> fmt::Debug for OnMessage<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnMessage").finish_non_exhaustive()
    }
}

impl<F> Protocol for OnMessage<F>
where
    F: FnMut(&mut Conn<'_>, Message<'_>) + 'static,
{
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        (self.on_message)(conn, Message::Text(&text));
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        (self.on_message)(conn, Message::Binary(&data));
    }
}
