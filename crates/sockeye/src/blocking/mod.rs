//! WebSockets whose calls wait: for programs that have a thread to spare for each.
//!
//! The thin face over [`proto`](crate::proto): the same machines, limits, options and errors as the
//! [`Engine`](crate::Engine), without a loop. What a call needs it does itself, on the caller's
//! thread, and nothing happens between calls.
//!
//! ```no_run
//! use sockeye::CloseCode;
//! use sockeye::blocking::{self, Received};
//!
//! let mut websocket = blocking::connect("wss://example.org/feed")?;
//! websocket.send("subscribe all")?;
//! while let Some(received) = websocket.next_message()? {
//!     if let Received::Text(text) = received {
//!         println!("{text}");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which face to take
//! | | this module | [`Engine`](crate::Engine) |
//! |---|---|---|
//! | the program is | a script, a test, a tool, a device with a few peers | a server, a client of many servers |
//! | connections | one thread each (two to send and receive at once), some hundreds | one thread for any number |
//! | control flow | calls that wait, in the order in which they are written | callbacks that never wait |
//! | memory for a connection | a read buffer of 64 KiB and a stack | nothing while it rests |
//! | sending to a slow peer | the call waits | the message is queued, and bounded |
//! | keepalive and pongs | while a call receives | always |
//! | files and plain HTTP | no | yes |
//! | broadcast, topics | no | yes |
//! | reconnecting | a loop of one's own around [`connect()`], with [`Backoff`](crate::Backoff) | uplinks |
//!
//! # Time
//! Every wait is bounded by what is due next: keepalive, idleness and closing are the machine's
//! deadlines and work as [`Limits`](crate::Limits) say. [`recv_timeout`](WebSocket::recv_timeout)
//! and [`set_timeout`](WebSocket::set_timeout) bound the call itself; after
//! [`Error::TimedOut`] the next call goes on where it stopped. Between calls no ping is sent or
//! answered: a program that does not receive for long may be given up by its peer, but never gives
//! its peer up for that.
//!
//! # Sending and receiving at once
//! One thread does one thing at a time. While [`send`](WebSocket::send) waits for the peer to take
//! a large message, nothing is received, and if the peer is just the same kind of program, sending
//! a large message itself, both wait until
//! [`Limits::write_stall_timeout`](crate::Limits::write_stall_timeout) ends it.
//! [`split`](WebSocket::split) is the way out: a [`Reader`] for one thread, a [`Writer`] for any
//! number of others. So is the engine.
//!
//! # Streams
//! A [`WebSocket`] is over any [`TimedStream`]: TCP and Unix sockets, [`TlsStream`] over one of
//! them, and [`Untimed`] over whatever else reads and writes.

mod accept;
mod access;
mod channel;
mod connect;
mod dial;
mod error;
mod pipe;
mod receive;
mod received;
mod serve;
mod split;
mod stream;
mod tls;
mod wait;
mod websocket;

use std::io;

pub use self::accept::Acceptor;
pub use self::connect::Connector;
pub use self::error::{AcceptError, Error};
pub use self::received::{Event, Received};
pub use self::serve::Server;
pub use self::split::{Reader, Writer};
pub use self::stream::{Stream, TimedStream, Untimed};
pub use self::tls::TlsStream;
pub use self::websocket::{Parts, WebSocket};

use crate::client::{ConnectError, ConnectOptions};

/// Connects to a URL, or as [`ConnectOptions`] say, and waits until the WebSocket is open. See
/// [`Connector::connect`].
///
/// # Errors
///
/// The step that failed, and why.
pub fn connect<O>(options: O) -> Result<WebSocket<Stream>, ConnectError>
where
    O: TryInto<ConnectOptions>,
    O::Error: Into<crate::Error>,
{
    Connector::new().connect(options)
}

/// Does the opening handshake as a client, over a stream that leads to the server. See
/// [`Connector::handshake`].
///
/// # Errors
///
/// What is wrong with the answer, or the stream.
pub fn handshake<S, O>(stream: S, options: O) -> Result<WebSocket<S>, ConnectError>
where
    S: TimedStream,
    O: TryInto<ConnectOptions>,
    O::Error: Into<crate::Error>,
{
    Connector::new().handshake(stream, options)
}

/// Waits for a client's opening handshake, and accepts it. See [`Acceptor::accept`].
///
/// # Errors
///
/// Why it did not come to that.
pub fn accept<S: TimedStream>(stream: S) -> Result<WebSocket<S>, AcceptError> {
    Acceptor::new().accept(stream)
}

/// Serves each connection on a thread of its own. See [`Server::serve`].
///
/// # Errors
///
/// The listener is broken.
pub fn serve<S, H>(incoming: impl IntoIterator<Item = io::Result<S>>, handler: H) -> io::Result<()>
where
    S: Into<Stream>,
    H: Fn(WebSocket<Stream>) + Sync,
{
    Server::new().serve(incoming, handler)
}
