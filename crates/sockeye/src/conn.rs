//! A connection in the hands of a callback. Appends and marks; the loop acts after the callback.

use std::time::{Duration, Instant};

use sockeye_proto::ws::{Message, Prepared};
use sockeye_proto::{CloseCode, Misuse};

use crate::core::Core;
use crate::id::ConnId;
use crate::protocol::{Overflow, Peer};

/// A WebSocket connection, lent to a callback.
///
/// No method does I/O and none calls back into a protocol: what a callback asks for happens when it
/// has returned.
#[derive(Debug)]
pub struct Conn<'c> {
    core: &'c mut Core,
    id: ConnId,
}

/// What became of something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Clear,
    /// It is queued behind this many bytes in all, more than
    /// [`Limits::high_water`](crate::Limits::high_water): a program that can should wait for
    /// [`on_writable`](crate::Protocol::on_writable) before it sends more.
    Pressed(usize),
    /// It waits until its uplink is back, and so many bytes do: see
    /// [`Core::send_uplink`](crate::Core::send_uplink).
    Queued(usize),
    /// It is not sent.
    Refused(Refusal),
}

/// Why something is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The uplink is away, and there is no room to wait for it.
    Away,
    /// The backlog is full; see [`Overflow`] for what that means to the connection.
    Backlog,
    /// There is no such connection any more.
    Gone,
    /// The connection's state does not allow it.
    Misuse(Misuse),
    /// No HTTP answer is being streamed there.
    NoAnswer,
}

impl Sent {
    /// Whether it was sent or queued.
    pub fn is_sent(self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away => f.write_str("the uplink is away, and no more may wait for it"),
            Self::Backlog => f.write_str("too much waits for the peer to read it"),
            Self::Gone => f.write_str("the connection is gone"),
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::NoAnswer => f.write_str("no HTTP answer is being streamed there"),
        }
    }
}

impl std::error::Error for Refusal {}

impl<'c> Conn<'c> {
    pub(crate) fn new(core: &'c mut Core, id: ConnId) -> Self {
        Self { core, id }
    }

    /// The version of the protocol that is spoken. In hixie-76 there are texts and nothing else:
    /// what else is sent is refused with [`Misuse::NotInVersion`].
    #[cfg(feature = "drafts")]
    pub fn version(&self) -> sockeye_proto::Version {
        self.core.version(self.id).unwrap_or_default()
    }

    /// The connection's id, to be remembered and used later or from another thread. An id is never
    /// used again for another connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The turn's instant: the same for all callbacks of a turn.
    pub fn now(&self) -> Instant {
        self.core.now()
    }

    /// Who is at the other end; `None` once the connection is gone.
    pub fn peer(&self) -> Option<Peer> {
        self.core.peer(self.id)
    }

    /// The subprotocol that the handshake agreed on, if any.
    pub fn subprotocol(&self) -> Option<&str> {
        self.core.subprotocol(self.id)
    }

    /// How messages are compressed, if the handshake agreed on it: the parameters that both sides
    /// keep to, and this side's own settings.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Settings> {
        self.core.deflate(self.id)
    }

    /// Everything that is not this connection: other connections, topics, new connections.
    pub fn core(&mut self) -> &mut Core {
        self.core
    }

    /// Sends a whole message: a `&str` as text, a `&[u8]` as binary.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        self.core.send(self.id, message)
    }

    /// Sends a whole message as it is, even if messages are compressed on this connection: for
    /// what is compressed or encrypted already, and for secrets next to text that others may choose
    /// (RFC 7692 §8).
    pub fn send_uncompressed<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        self.core.send_uncompressed(self.id, message)
    }

    /// Sends a message that was framed before, without copying it; where messages are compressed,
    /// it is compressed once for all connections that agreed on the same.
    pub fn send_prepared(&mut self, message: &Prepared) -> Sent {
        self.core.send_prepared(self.id, message)
    }

    /// Sends a piece of a message; `last` ends it. All pieces are of the kind of the first. Control
    /// frames may go between them, other messages may not (RFC 6455 §5.4).
    pub fn send_fragment<'m>(&mut self, fragment: impl Into<Message<'m>>, last: bool) -> Sent {
        self.core.send_fragment(self.id, fragment.into(), last)
    }

    /// Sends a Ping with up to 125 bytes. Pongs to the peer's Pings need no call, nor does
    /// keepalive.
    pub fn ping(&mut self, data: &[u8]) -> Sent {
        self.core.ping(self.id, data)
    }

    /// Sends a Pong that nobody asked for, with up to 125 bytes (RFC 6455 §5.5.3).
    pub fn pong(&mut self, data: &[u8]) -> Sent {
        self.core.pong(self.id, data)
    }

    /// Begins the closing handshake. What arrives from now on is discarded; `on_close` follows when
    /// the peer has answered or [`Limits::close_timeout`](crate::Limits::close_timeout) is over. A
    /// reason is cut at 123 bytes. A [pause](Self::pause) ends.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Sent {
        self.core.close(self.id, code, reason)
    }

    /// Begins the closing handshake as [`close`](Self::close) does, but messages that the peer sends
    /// before its own Close are still delivered.
    pub fn close_sending(&mut self, code: CloseCode, reason: &str) -> Sent {
        self.core.close_sending(self.id, code, reason)
    }

    /// Cuts the connection at the end of the turn, without a closing handshake. What was received
    /// and not handed out yet is dropped.
    pub fn abort(&mut self) {
        self.core.abort(self.id);
    }

    /// Stops receiving: bytes that already came wait, the kernel's window does the rest. Pings,
    /// Closes and the end of the stream go unseen too.
    pub fn pause(&mut self) {
        self.core.pause(self.id);
    }

    /// Receives again.
    pub fn resume(&mut self) {
        self.core.resume(self.id);
    }

    /// Asks for one [`on_writable`](crate::Protocol::on_writable), in a later turn, when less than
    /// [`Limits::low_water`](crate::Limits::low_water) waits to be written.
    pub fn request_writable(&mut self) {
        self.core.request_writable(self.id);
    }

    /// Calls [`on_timeout`](crate::Protocol::on_timeout) once, this long from now; `None` takes it
    /// back. There is one such timeout a connection.
    pub fn set_timeout(&mut self, after: Option<Duration>) {
        self.core.set_timeout(self.id, after);
    }

    /// Bytes that wait for the peer to take them.
    pub fn backlog(&self) -> usize {
        self.core.backlog(self.id)
    }

    /// What happens when the backlog is full.
    pub fn set_overflow(&mut self, overflow: Overflow) {
        self.core.set_overflow(self.id, overflow);
    }

    /// Joins a topic. Returns whether it was not a member, and may be one: no more than
    /// [`Limits::topics_per_connection`](crate::Limits::topics_per_connection) are joined.
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.core.subscribe(self.id, topic)
    }

    /// Leaves a topic. Returns whether it was a member.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.core.unsubscribe(self.id, topic)
    }

    /// Sends a message to every member of a topic, this connection included if it is one, on all
    /// engines of a [`Group`](crate::Group). Returns to how many it was sent on this engine.
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<Message<'m>>) -> usize {
        self.core.publish(topic, &Prepared::new(message.into()))
    }

    /// Sends a message to every other member of a topic, on all engines of a
    /// [`Group`](crate::Group). Returns to how many it was sent on this engine.
    pub fn publish_to_others<'m>(&mut self, topic: &str, message: impl Into<Message<'m>>) -> usize {
        self.core
            .publish_except(topic, &Prepared::new(message.into()), self.id)
    }

    /// Sends a message to another connection.
    pub fn send_to<'m>(&mut self, other: ConnId, message: impl Into<Message<'m>>) -> Sent {
        self.core.send(other, message)
    }
}
