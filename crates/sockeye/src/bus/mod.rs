//! Broadcasts from other processes: a channel that survives `fork()`.
//!
//! A [`channel`] is made before the program forks. Whoever has the [`Sender`] afterwards, in any
//! process, can send; one process gives the [`Receiver`] to its engine
//! ([`Engine::attach`](crate::Engine::attach)), which hands each message to a protocol as a
//! broadcast: [`on_broadcast`](crate::Protocol::on_broadcast) for every open connection of it, unless
//! the protocol chooses otherwise ([`on_bus_message`](crate::Protocol::on_bus_message)).
//!
//! ```no_run
//! use sockeye::{Engine, Limits, bus, on_message};
//! # fn fork() -> u32 { 0 }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = Limits::default();
//! let (sender, receiver) = bus::channel(&limits)?;
//! if fork() == 0 {
//!     // The server: a process of its own.
//!     drop(sender);
//!     let mut engine = Engine::builder().limits(limits).build()?;
//!     let news = engine.host(on_message(|_, _| ()));
//!     engine.listen(":7681")?.route("/news", news);
//!     engine.attach(news, receiver)?;
//!     engine.run()?;
//!     return Ok(());
//! }
//! // The application. It gives its copy of the receiver up, so that it is told when the server ends.
//! drop(receiver);
//! sender.send("to all who listen")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! Messages arrive whole, as the kind they were sent, each once, and those of one sender in the
//! order they were sent. Between senders the order is that of the system. Nothing is lost without
//! a word:
//!
//! - While the channel is full, [`Sender::send`] waits and [`Sender::try_send`] returns
//!   [`SendError::Full`]. Some hundred short messages have room in it, or about ten of those that
//!   are longer than 32 KiB.
//! - Once every copy of the receiver is gone, sending returns [`SendError::Gone`]. What is in the
//!   channel at that moment is lost with it; an engine that is
//!   [shut down](crate::Engine::shutdown) in order takes nothing new but hands out what was sent.
//! - A message that arrived is for the connections that are open then. What becomes of it there is
//!   what becomes of any message: it is delivered in order, or the connection's
//!   [`Overflow`](crate::Overflow) tells what a full backlog means. By default that is the end of the
//!   connection, never a gap; what the other policies drop is counted in
//!   [`Stats::dropped`](crate::Stats::dropped).
//!
//! # Flow control
//! While much waits for peers that read slowly, the engine does not read the channel, so that
//! senders wait instead of backlogs overflowing. It does so while more than half of
//! [`backlog_total_len`](crate::Limits::backlog_total_len) waits altogether, or for one connection of
//! the protocol so much that the longest message could be too long for its
//! [`backlog_len`](crate::Limits::backlog_len); but never longer than
//! [`bus_patience`](crate::Limits::bus_patience), after which the overflow policies decide: a peer
//! that does not read can delay the others, but not stop them.
//!
//! # Which process does what
//! A sender needs no engine, no thread, no lock and no memory of its own: it can be used in the
//! child of a process that had many threads. Both ends are closed by `exec`. Sending from the
//! engine's own thread must not wait for the engine: use [`Sender::try_send`] there, or
//! [`Core::broadcast`](crate::Core::broadcast).

mod error;
mod inlet;
mod packet;
mod receiver;
mod sender;

use std::io;

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::Limits;

pub use self::error::SendError;
pub(crate) use self::inlet::Inlets;
pub use self::receiver::Receiver;
pub use self::sender::Sender;

/// What is asked of the system as room of a channel. It doubles it, as it counts its own records,
/// and gives no more than `net.core.wmem_max`.
const ROOM: usize = 256 * 1024;

/// Makes a channel for messages of up to [`Limits::bus_message_len`] bytes.
///
/// # Errors
///
/// The system has no descriptors.
pub fn channel(limits: &Limits) -> io::Result<(Sender, Receiver)> {
    // Whole packets, each written and read in one piece whoever else writes.
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_send_buffer_size(&ours, ROOM)?;
    Ok((
        Sender::new(ours, limits.bus_message_len),
        Receiver::new(theirs, limits.bus_message_len),
    ))
}

#[cfg(test)]
mod tests;
