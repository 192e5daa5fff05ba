//! What a machine reports.

use std::fmt;

use crate::bytes::{Bytes, Text};
use crate::close::CloseFrame;
use crate::ws::Kind;

/// Something that happened on the connection. It borrows the input, never the machine.
///
/// [`Close`](Self::Close), [`Lost`](Self::Lost) and a [`Violation`](crate::Violation) are final:
/// one of them ends every connection, and nothing follows it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A text message ([`Delivery::Whole`](crate::ws::Delivery::Whole)).
    Text(Text<'b>),
    /// A binary message ([`Delivery::Whole`](crate::ws::Delivery::Whole)).
    Binary(Bytes<'b>),
    /// A piece of a message ([`Delivery::Streaming`](crate::ws::Delivery::Streaming)).
    Chunk(Chunk<'b>),
    /// The peer asks for a sign of life; the pong is taken care of.
    Ping(Bytes<'b>),
    /// The peer gives one, asked or unasked. The pings of keepalive are empty, and so are the
    /// answers to them.
    Pong(Bytes<'b>),
    /// The peer's Close frame. If it came first, the answer is already in the output.
    Close(CloseFrame<'b>),
    /// The connection ended without the peer's Close frame.
    Lost(Lost),
}

impl Event<'_> {
    /// The same with no tie to the input; copies only what was borrowed.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Text(text) => Event::Text(text.into_owned()),
            Self::Binary(data) => Event::Binary(data.into_owned()),
            Self::Chunk(chunk) => Event::Chunk(chunk.into_owned()),
            Self::Ping(data) => Event::Ping(data.into_owned()),
            Self::Pong(data) => Event::Pong(data.into_owned()),
            Self::Close(frame) => Event::Close(frame.into_owned()),
            Self::Lost(lost) => Event::Lost(lost),
        }
    }
}

/// A piece of a message, delivered as it arrived.
///
/// Pieces are cut where the reads of the owner and the frames of the peer end. Those of a text
/// are checked, but a piece may begin and end within a character. Of a message that a violation,
/// a Close or the end of the connection interrupts, no piece is the `last`.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'b> {
    /// What the message is made of.
    pub kind: Kind,
    /// The bytes; empty only if the message ended without more of them.
    pub data: Bytes<'b>,
    /// Whether the message begins here.
    pub first: bool,
    /// Whether the message ends here.
    pub last: bool,
    /// Bytes of the present frame that are still to come.
    pub frame_remaining: u64,
}

impl Chunk<'_> {
    /// The same with no tie to the input; copies only what was borrowed.
    pub fn into_owned(self) -> Chunk<'static> {
        Chunk {
            data: self.data.into_owned(),
            ..self
        }
    }
}

/// How a connection ended without the peer's Close frame (RFC 6455 §7.1.5: code 1006).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The stream ended.
    EndOfStream,
    /// Nothing was heard for [`pong_timeout`](crate::Limits::pong_timeout) after a ping.
    PingTimeout,
    /// Our Close frame was not answered within [`close_timeout`](crate::Limits::close_timeout).
    CloseTimeout,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfStream => "the stream ended without a Close frame",
            Self::PingTimeout => "nothing was heard, not even a pong",
            Self::CloseTimeout => "the Close frame was not answered",
        })
    }
}

/// What the owner of the socket does once all output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing: the connection lives.
    Keep,
    /// Keep reading, and discard what comes, until the peer ends the stream or
    /// [`next_timeout`](crate::ws::WebSocket::next_timeout) has passed: RFC 6455 §7.1.1 lets the
    /// server close TCP first.
    AwaitEof,
    /// Shut down the sending direction, then as [`AwaitEof`](Self::AwaitEof): a close with unread
    /// input would reset the connection and could take the Close frame with it.
    HalfClose,
    /// Close.
    Close,
}
