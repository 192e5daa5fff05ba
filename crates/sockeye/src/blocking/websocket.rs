//! A WebSocket of one thread.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use sockeye_proto::ws::{self, Config, Message, Role};
use sockeye_proto::{CloseCode, Shared};

use super::access::{Owned, flush, transmit};
use super::channel::Channel;
use super::error::Error;
use super::pipe::Pipe;
use super::receive::{Input, Receiver};
use super::received::{Event, Received};
use super::split::{self, Reader, Writer};
use super::stream::{Stream, TimedStream};
use crate::clock::Clock;
use crate::protocol::{CloseInfo, Peer};

/// What the handshake said.
#[derive(Debug)]
pub(super) struct About {
    pub(super) peer: Peer,
    pub(super) subprotocol: Option<String>,
    pub(super) headers: HeaderMap,
}

/// An open WebSocket whose calls wait.
///
/// Made by [`connect`](super::connect()), [`handshake`](super::handshake()),
/// [`accept`](super::accept()) or [`from_stream`](Self::from_stream). Keepalive and the answers to
/// pings happen while [`recv`](Self::recv) or another call waits; between calls nothing does, and
/// the time in between is not held against the peer.
///
/// Dropping it ends the stream without a Close frame, which the peer sees as code 1006; to part
/// properly, call [`close`](Self::close).
///
/// ```no_run
/// use sockeye::CloseCode;
/// use sockeye::blocking::{self, Received};
///
/// let mut websocket = blocking::connect("ws://127.0.0.1:7681/echo")?;
/// websocket.send("hello")?;
/// if let Received::Text(text) = websocket.recv()? {
///     println!("{text}");
/// }
/// websocket.close(CloseCode::NORMAL, "")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WebSocket<S = Stream> {
    receiver: Receiver<Owned<S>>,
    about: Arc<About>,
}

impl<S: TimedStream> WebSocket<S> {
    /// Over a stream on which somebody else has done the opening handshake. `input` is what was
    /// read behind it.
    ///
    /// # Errors
    ///
    /// The system has no randomness, or the peer is gone.
    pub fn from_stream(stream: S, role: Role, config: Config, input: &[u8]) -> io::Result<Self> {
        let peer = stream.peer()?;
        let about = About {
            peer,
            subprotocol: None,
            headers: HeaderMap::new(),
        };
        let machine = ws::WebSocket::new(role, Arc::new(config), Clock::read());
        let pipe = Pipe::new(stream);
        Ok(Self::new(pipe, machine, seed()?, Input::with(input), about))
    }

    pub(super) fn new(
        pipe: Pipe<S>,
        machine: ws::WebSocket,
        shared: Shared,
        input: Input,
        about: About,
    ) -> Self {
        let channel = Channel::new(pipe, machine, shared);
        Self {
            receiver: Receiver::new(Owned(channel), input),
            about: Arc::new(about),
        }
    }

    fn channel(&self) -> &Channel<S> {
        &self.receiver.access.0
    }

    /// Waits for the next thing to arrive.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the connection is over, by the peer's Close frame or otherwise;
    /// [`Error::Violation`]; [`Error::Io`]; [`Error::TimedOut`] if there is a
    /// [limit](Self::set_timeout).
    pub fn recv(&mut self) -> Result<Received, Error> {
        self.receiver.recv_with(|event| event.into())
    }

    /// As [`recv`](Self::recv), but lends what arrived to `take`: a message that came in one piece
    /// is not copied.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn recv_with<R>(&mut self, take: impl FnOnce(Event<'_>) -> R) -> Result<R, Error> {
        self.receiver.recv_with(take)
    }

    /// As [`recv`](Self::recv), waiting no longer than `limit`, whatever arrives in between; with
    /// zero, only for what is there.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received, Error> {
        self.receiver.recv_within(Some(limit), |event| event.into())
    }

    /// Waits for the next message, or chunk of one. `None`: the connection was closed properly.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn next_message(&mut self) -> Result<Option<Received>, Error> {
        self.receiver.next_message()
    }

    /// The messages until the connection is closed properly; an error is the last item. To send
    /// between them, loop over [`next_message`](Self::next_message).
    pub fn messages(&mut self) -> impl Iterator<Item = Result<Received, Error>> {
        self.receiver.messages()
    }

    /// How long [`recv`](Self::recv), [`recv_with`](Self::recv_with) and
    /// [`next_message`](Self::next_message) wait at most. `None`, the default: without end.
    pub fn set_timeout(&mut self, limit: Option<Duration>) {
        self.receiver.limit = limit;
    }

    /// Sends a message, and waits until the system has taken it.
    ///
    /// A peer that takes nothing for
    /// [`Limits::write_stall_timeout`](crate::Limits::write_stall_timeout) is given up. Nothing is
    /// received meanwhile: two programs that both send more than the buffers between them hold
    /// before either receives wait for each other until then. [`split`](Self::split) is for those.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] when no message may be sent now; else what ended the connection.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        transmit(&mut self.receiver.access, |machine, cx| {
            machine.send(message, cx)
        })
    }

    /// Sends a part of a message as a frame of its own; `last` ends the message. Pings and pongs
    /// may go in between, other messages not.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn send_fragment<'m>(
        &mut self,
        fragment: impl Into<Message<'m>>,
        last: bool,
    ) -> Result<(), Error> {
        let fragment = fragment.into();
        transmit(&mut self.receiver.access, |machine, cx| {
            machine.send_fragment(fragment, last, cx)
        })
    }

    /// Asks for a sign of life. `data`, at most 125 bytes, comes back as a pong.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn ping(&mut self, data: &[u8]) -> Result<(), Error> {
        transmit(&mut self.receiver.access, |machine, cx| {
            machine.ping(data, cx)
        })
    }

    /// Gives a sign of life that nobody asked for. Pings are answered without it.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn pong(&mut self, data: &[u8]) -> Result<(), Error> {
        transmit(&mut self.receiver.access, |machine, cx| {
            machine.pong(data, cx)
        })
    }

    /// Closes the connection and waits for the end of it, at most
    /// [`Limits::close_timeout`](crate::Limits::close_timeout). Messages that still arrive are
    /// dropped. Says how it ended: [`CloseInfo::clean`] tells whether the peer answered. On a
    /// connection that is closing or over already, just waits for the end.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] for a code that must not be sent; [`Error::Violation`] and [`Error::Io`]
    /// if that was the end.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<CloseInfo, Error> {
        self.receiver.close(code, reason)
    }

    /// Says that nothing more will be sent. What still arrives is received as before, until the
    /// peer has closed, too, or `close_timeout` is over.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and for a code that must not be sent.
    pub fn close_sending(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        transmit(&mut self.receiver.access, |machine, cx| {
            machine.close_sending(code, reason, cx)
        })
    }

    /// Waits until the system has everything that was sent. Only needed after a call that ended
    /// with [`Error::TimedOut`], as with streams that give up by themselves.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn flush(&mut self) -> Result<(), Error> {
        flush(&mut self.receiver.access)
    }

    /// Whether messages can be sent: neither side has closed, as far as was received.
    pub fn is_open(&self) -> bool {
        self.channel().machine().is_open()
    }

    /// Which end of the connection this is.
    pub fn role(&self) -> Role {
        self.channel().machine().role()
    }

    /// Who is at the other end, with what TLS agreed on.
    pub fn peer(&self) -> &Peer {
        &self.about.peer
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.about.subprotocol.as_deref()
    }

    /// The headers of the answer to the handshake: the server's as a client received them, or those
    /// that the program added as the server.
    pub fn response_headers(&self) -> &HeaderMap {
        &self.about.headers
    }

    /// The stream below.
    pub fn stream(&self) -> &S {
        self.channel().pipe.stream()
    }

    /// Two halves, for one thread that receives and any number that send.
    ///
    /// # Errors
    ///
    /// There are no descriptors left: it takes two.
    pub fn split(self) -> io::Result<(Reader<S>, Writer<S>)>
    where
        S: AsFd,
    {
        let Self { receiver, about } = self;
        split::split(receiver, about)
    }

    /// Takes it apart, without a word to the peer.
    pub fn into_parts(self) -> Parts<S> {
        let (pipe, machine) = self.receiver.access.0.into_parts();
        let (stream, output) = pipe.into_parts();
        Parts {
            stream,
            machine,
            input: self.receiver.input.into_vec(),
            output,
        }
    }

    /// The stream, without a word to the peer. What was received and not asked for is lost.
    pub fn into_inner(self) -> S {
        self.into_parts().stream
    }
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("peer", &self.about.peer)
            .finish_non_exhaustive()
    }
}

/// What a [`WebSocket`] is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<S> {
    /// The stream.
    pub stream: S,
    /// The protocol's state.
    pub machine: ws::WebSocket,
    /// What was read and not looked at.
    pub input: Vec<u8>,
    /// What the stream has not taken.
    pub output: Vec<u8>,
}

/// The masking keys of one connection.
pub(super) fn seed() -> io::Result<Shared> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Shared::from_seed(seed))
}
