//! What is received, borrowed or owned.

use sockeye_proto::ws::{Chunk, Message};
use sockeye_proto::{Bytes, Text};

/// What arrived, where it lies: in the connection's buffer if it came in one piece. Pings are not
/// told; they are answered.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A whole binary message.
    Binary(Bytes<'b>),
    /// A piece of a message; only with [`Delivery::Streaming`](crate::Delivery::Streaming).
    Chunk(Chunk<'b>),
    /// The answer to a ping, or one that nobody asked for. Those of keepalive are empty.
    Pong(Bytes<'b>),
    /// A whole text message.
    Text(Text<'b>),
}

/// What arrived, as values of its own.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A piece of a message; only with [`Delivery::Streaming`](crate::Delivery::Streaming).
    Chunk(Chunk<'static>),
    /// The answer to a ping, or one that nobody asked for. Those of keepalive are empty.
    Pong(Vec<u8>),
    /// A whole text message.
    Text(String),
}

impl Received {
    /// The message, to be sent as it came; `None` for anything but a whole one.
    pub fn message(&self) -> Option<Message<'_>> {
        match self {
            Self::Binary(data) => Some(Message::Binary(data)),
            Self::Text(text) => Some(Message::Text(text)),
            Self::Chunk(_) | Self::Pong(_) => None,
        }
    }
}

impl From<Event<'_>> for Received {
    /// Copies what is borrowed.
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Binary(data) => Self::Binary(data.into_vec()),
            Event::Chunk(chunk) => Self::Chunk(chunk.into_owned()),
            Event::Pong(data) => Self::Pong(data.into_vec()),
            Event::Text(text) => Self::Text(text.into_string()),
        }
    }
}
