//! The WebSocket machine: one connection after its handshake, either role (RFC 6455).
//!
//! Knows frames, messages, the closing handshake and its deadlines. Knows no socket, no clock and
//! no handshake; owns no output and, while it waits between messages, no heap memory. Input is a
//! cursor that [`WebSocket::receive`] consumes from the front and unmasks in place; output goes to
//! [`Cx::output`](crate::Cx::output). How the input is cut never changes what comes out.
//! With the feature `drafts` it speaks older versions too: other frames, the same machine.
//!
//! # Copies
//! A message that is one frame and wholly in the input is handed out where it lies: no copy. Any
//! other is assembled: one copy, into a buffer that grows with the data and has room for all that
//! was announced once half of that is there. Sending copies once, into the output. What is
//! compressed takes one copy more in either direction.
//!
//! # States
//! | state | our Close | peer's Close | violation | end of stream | deadline |
//! |---|---|---|---|---|---|
//! | Open | → Draining or Discarding | answer it → Finished, `Event::Close` | Close 1002, 1007, 1008, 1009 → Failed, `Err` | → Gone, `Lost` | ping, 1001 → Draining, or → Gone, `Lost` |
//! | Draining, Discarding | `Misuse` | → Finished, `Event::Close` | → Failed, `Err` | → Gone, `Lost` | → Gone, `Lost` |
//! | Failed | `Misuse` | ignored | ignored | → Gone | → Gone |
//! | Finished | `Misuse` | ignored | ignored | → Gone | → Gone |
//! | Gone | `Misuse` | ignored | ignored | – | – |
//!
//! The answer to a Close repeats its code and reason.
//! Draining delivers the messages that still arrive, Discarding drops them; both answer pings, as
//! RFC 6455 §5.5.2 wants it until the peer's Close has come. A violation met there puts out no
//! second Close. [`Fate`] is `Keep` in Open, Draining and Discarding, `HalfClose` in Failed, `Close`
//! in Gone; in Finished it is `Close` for a server and `AwaitEof` for a client. The deadline of
//! every state behind Open is [`close_timeout`](crate::Limits::close_timeout) after our Close was
//! put out; no traffic moves it. [`WebSocket::hang_up`] leads from Open, Draining and Discarding to
//! Failed without a violation.
//!
//! # Deadlines of an open connection
//! After [`ping_interval`](crate::Limits::ping_interval) of silence a ping goes out; any byte
//! received is a sign of life; [`pong_timeout`](crate::Limits::pong_timeout) of further silence
//! is [`Lost::PingTimeout`]. [`idle_timeout`](crate::Limits::idle_timeout) without a byte of a
//! message, in or out, closes with 1001 as [`WebSocket::close_sending`] does. While output waits
//! for the peer ([`Cx::blocked`](crate::Cx::blocked)) a ping would wait with it, so that silence
//! proves nothing, and a message is still on its way: a deadline that finds it so starts all
//! waiting anew, and it is the owner's write timeout that watches the peer.
//!
//! # Limits
//! [`message_len`](crate::Limits::message_len), [`frame_len`](crate::Limits::frame_len) and
//! [`fragment_count`](crate::Limits::fragment_count) are judged at the frame header. They protect
//! memory, and bind only what is held: messages that are delivered whole. A streamed message
//! (live audio, an upload larger than memory) may be of any length and any number of frames; only
//! the 63 bits of a frame's length bound it. Its empty fragments yield no chunk.

mod assembly;
mod by_hand;
mod deadline;
mod event;
#[cfg(feature = "drafts")]
mod framing;
#[cfg(feature = "drafts")]
mod hixie;
#[cfg(feature = "drafts")]
mod hybi;
mod message;
#[cfg(feature = "drafts")]
mod old;
#[cfg(feature = "deflate")]
mod packed;
#[cfg(not(feature = "deflate"))]
#[path = "unpacked.rs"]
mod packed;
mod receive;
mod send;
mod whole;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

pub use self::event::{Chunk, Event, Fate, Lost};
pub use self::message::{Kind, Message, Prepared};

use self::receive::{Frame, Parts};
use self::send::Sending;
use crate::limits::Limits;
use crate::utf8::Utf8;

/// Which end of the connection a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Masks what it sends, refuses what is masked (RFC 6455 §5.1).
    Client,
    /// The other way round.
    Server,
}

/// How messages are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Delivery {
    /// As [`Event::Text`] and [`Event::Binary`], complete.
    #[default]
    Whole,
    /// As [`Event::Chunk`], as they arrive.
    Streaming,
}

/// The settings that many connections share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The bounds; the machine obeys those that speak of frames, messages, pings and closing.
    pub limits: Limits,
    /// How messages are handed out.
    pub delivery: Delivery,
    /// What the handshake agreed on for compression; `None`: not to compress.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::Settings>,
}

impl Config {
    /// Without compression.
    pub fn new(limits: Limits, delivery: Delivery) -> Self {
        Self {
            limits,
            delivery,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

/// One WebSocket connection, after its handshake.
///
/// ```
/// # #![allow(clippy::disallowed_methods)]
/// use std::sync::Arc;
/// use std::time::Instant;
/// use sockeye_proto::ws::{Config, Event, Message, Role, WebSocket};
/// use sockeye_proto::{Cx, Shared};
///
/// let mut shared = Shared::from_seed([0; 32]); // from the operating system, in earnest
/// let mut output = Vec::new();
/// let now = Instant::now();
/// let mut cx = Cx { now, output: &mut output, shared: &mut shared, blocked: false };
/// let mut socket = WebSocket::new(Role::Server, Arc::new(Config::default()), now);
///
/// let mut bytes = *b"\x81\x82\0\0\0\0hi";
/// let mut input = &mut bytes[..];
/// while let Some(event) = socket.receive(&mut input, &mut cx)? {
///     if let Event::Text(text) = event {
///         socket.send(Message::Text(&text), &mut cx)?;
///     }
/// }
/// assert_eq!(output, b"\x81\x02hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WebSocket {
    config: Arc<Config>,
    /// What is in several pieces or waits; absent on a connection at rest, and behind the end:
    /// then nothing waits to be sent.
    parts: Option<Box<Parts>>,
    /// Open: when a byte was last received, or, if nothing was since, when the ping went out.
    /// Later: when our Close was put out. One field, because the three never matter at once.
    since: Instant,
    /// When a byte of a message last went either way.
    active: Instant,
    /// The payload in which the last read ended; `None`: it ended between frames or in a header,
    /// whose bytes the parts keep then.
    reading: Option<Frame>,
    /// Payload bytes of the message in progress, those announced by its last frame included.
    message_len: u64,
    /// Frames of the message in progress.
    fragment_count: u32,
    utf8: Utf8,
    /// The message being received, from its first header to its last byte.
    receiving: Option<Kind>,
    /// The fragmented message being sent.
    sending: Sending,
    /// No chunk of the message being received has been handed out.
    first: bool,
    /// The message being received is compressed.
    unpacking: bool,
    /// Nothing was heard since the ping went out.
    pinged: bool,
    role: Role,
    phase: Phase,
    #[cfg(feature = "drafts")]
    framing: framing::Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Draining,
    Discarding,
    Failed,
    Finished,
    Gone,
}

impl WebSocket {
    /// A connection whose handshake is complete.
    pub fn new(role: Role, config: Arc<Config>, now: Instant) -> Self {
        Self {
            config,
            parts: None,
            since: now,
            active: now,
            reading: None,
            message_len: 0,
            fragment_count: 0,
            utf8: Utf8::new(),
            receiving: None,
            sending: Sending::Nothing,
            first: false,
            unpacking: false,
            pinged: false,
            role,
            phase: Phase::Open,
            #[cfg(feature = "drafts")]
            framing: framing::Framing::new(crate::Version::Rfc6455),
        }
    }

    /// What the owner of the socket does once all output is written.
    #[inline]
    pub fn fate(&self) -> Fate {
        match (self.phase, self.role) {
            (Phase::Open | Phase::Draining | Phase::Discarding, _) => Fate::Keep,
            (Phase::Failed, _) => Fate::HalfClose,
            (Phase::Finished, Role::Client) => Fate::AwaitEof,
            (Phase::Finished, Role::Server) | (Phase::Gone, _) => Fate::Close,
        }
    }

    /// Whether messages can be sent: no Close has gone out or come in.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Which end of the connection this is.
    #[inline]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The settings it was made with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("receiving", &self.receiving)
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseCode, Cx, Shared};

    fn receive(socket: &mut WebSocket, bytes: &[u8], blocked: bool) {
        let (mut output, mut shared) = (Vec::new(), Shared::from_seed([0; 32]));
        let (now, output, shared) = (socket.since, &mut output, &mut shared);
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        let mut cx = Cx {
            now,
            output,
            shared,
            blocked,
        };
        while let Ok(Some(_)) = socket.receive(&mut input, &mut cx) {}
    }

    fn client() -> WebSocket {
        #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
        let now = Instant::now();
        WebSocket::new(Role::Client, Arc::default(), now)
    }

    #[test]
    fn a_connection_at_rest_is_small() {
        assert!(size_of::<WebSocket>() <= 88, "{}", size_of::<WebSocket>());
    }

    #[test]
    fn a_connection_at_rest_owns_nothing() {
        let mut socket = client();
        for (bytes, holds) in [
            (&b"\x81\x02in one piece"[..4], false),
            (b"\x02\x00", false),
            (b"\x00\x03ab", true),
            (b"c\x80\x00", false),
            (b"\x89\x02p", true),
            (b"q", false),
            (b"\x01\x01\xc3", true),
            (b"\x80\x01\xa4", false),
            (b"\x82", true),
            (b"\x7e\x01", true),
            (b"\x00", false),
        ] {
            receive(&mut socket, bytes, false);
            assert_eq!(socket.parts.is_some(), holds, "{bytes:x?}");
        }
        receive(&mut socket, b"\x89\x00", true);
        assert!(socket.parts.is_some(), "a pong waits");
    }

    #[test]
    fn closing_frees_what_nobody_will_see() {
        for ends in [&b"\x88\x00"[..], b"\xff", b"\x80\x01\xff"] {
            let mut socket = client();
            receive(&mut socket, b"\x89\x01p\x01\x03abc", true);
            receive(&mut socket, ends, true);
            assert!(socket.parts.is_none(), "{ends:x?}");
        }
        let mut socket = client();
        receive(&mut socket, b"\x01\x03abc", false);
        let (mut output, mut shared) = (Vec::new(), Shared::from_seed([0; 32]));
        let (now, output, shared) = (socket.since, &mut output, &mut shared);
        let mut cx = Cx {
            now,
            output,
            shared,
            blocked: false,
        };
        assert_eq!(socket.close(CloseCode::NORMAL, "", &mut cx), Ok(()));
        assert!(socket.parts.is_none());
    }
}
