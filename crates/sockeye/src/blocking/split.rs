//! A WebSocket in two halves, for threads that send while another receives.
//!
//! Both use one [`Channel`] behind a mutex that is held for single steps, never while waiting: that
//! is done on a duplicate of the descriptor. So a pong, or the end, goes out whoever waits for
//! what.
//!
//! Invariants: what one call sends stays in one piece; a half that waits is woken when the other
//! one changes what there is to wait for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use sockeye_proto::ws::{self, Message};
use sockeye_proto::{CloseCode, Cx, Misuse};

use super::access::{Access, Owned, flush, transmit};
use super::channel::Channel;
use super::error::Error;
use super::receive::Receiver;
use super::received::{Event, Received};
use super::stream::{Stream, TimedStream};
use super::wait::{Waited, wait, watch};
use super::websocket::About;
use crate::poll::Interest;
use crate::protocol::Peer;
use crate::waker::Waker;

struct Both<S> {
    channel: Mutex<Channel<S>>,
    descriptor: OwnedFd,
    /// Wakes the reader when a deadline may have come nearer.
    waker: Waker,
    about: Arc<About>,
}

impl<S: TimedStream> Both<S> {
    fn with<R>(&self, step: impl FnOnce(&mut Channel<S>) -> R) -> R {
        // A step of ours does not panic; one of a stream that does leaves a stream that fails.
        step(&mut self.channel.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct ReaderSide<S>(Arc<Both<S>>);

impl<S: TimedStream> Access for ReaderSide<S> {
    type Stream = S;

    fn with<R>(&mut self, step: impl FnOnce(&mut Channel<S>) -> R) -> R {
        self.0.with(step)
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        let Both {
            descriptor, waker, ..
        } = &*self.0;
        let watched = &mut [
            watch(descriptor.as_fd(), interest),
            watch(waker.fd(), Interest::READ),
        ];
        let waited = wait(watched, deadline)?;
        if let [_, woken] = watched
            && !woken.revents().is_empty()
        {
            waker.acknowledge();
        }
        Ok(waited)
    }
}

struct WriterSide<'w, S>(&'w Both<S>);

impl<S: TimedStream> Access for WriterSide<'_, S> {
    type Stream = S;

    fn with<R>(&mut self, step: impl FnOnce(&mut Channel<S>) -> R) -> R {
        self.0.with(step)
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        wait(&mut [watch(self.0.descriptor.as_fd(), interest)], deadline)
    }
}

pub(super) fn split<S: TimedStream + AsFd>(
    receiver: Receiver<Owned<S>>,
    about: Arc<About>,
) -> io::Result<(Reader<S>, Writer<S>)> {
    let descriptor = receiver
        .access
        .0
        .pipe
        .stream()
        .as_fd()
        .try_clone_to_owned()?;
    let waker = Waker::new()?;
    let (Owned(channel), receiver) = receiver.detach();
    let both = Arc::new(Both {
        channel: Mutex::new(channel),
        descriptor,
        waker,
        about,
    });
    let writer = Writer {
        both: Arc::clone(&both),
    };
    let reader = Reader {
        receiver: receiver(ReaderSide(both)),
    };
    Ok((reader, writer))
}

/// The half of a [`WebSocket`](super::WebSocket) that receives.
///
/// Keepalive and the answers to pings happen while it waits. Once it is dropped nobody listens any
/// more; the stream ends when both halves are gone.
pub struct Reader<S = Stream> {
    receiver: Receiver<ReaderSide<S>>,
}

impl<S: TimedStream> Reader<S> {
    /// As [`WebSocket::recv`](super::WebSocket::recv).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv(&mut self) -> Result<Received, Error> {
        self.receiver.recv_with(|event| event.into())
    }

    /// As [`WebSocket::recv_with`](super::WebSocket::recv_with). `take` may use the [`Writer`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv_with<R>(&mut self, take: impl FnOnce(Event<'_>) -> R) -> Result<R, Error> {
        self.receiver.recv_with(take)
    }

    /// As [`WebSocket::recv_timeout`](super::WebSocket::recv_timeout).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received, Error> {
        self.receiver.recv_within(Some(limit), |event| event.into())
    }

    /// As [`WebSocket::next_message`](super::WebSocket::next_message).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn next_message(&mut self) -> Result<Option<Received>, Error> {
        self.receiver.next_message()
    }

    /// As [`WebSocket::messages`](super::WebSocket::messages).
    pub fn messages(&mut self) -> impl Iterator<Item = Result<Received, Error>> {
        self.receiver.messages()
    }

    /// As [`WebSocket::set_timeout`](super::WebSocket::set_timeout).
    pub fn set_timeout(&mut self, limit: Option<Duration>) {
        self.receiver.limit = limit;
    }

    /// Who is at the other end, with what TLS agreed on.
    pub fn peer(&self) -> &Peer {
        &self.receiver.access.0.about.peer
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.receiver.access.0.about.subprotocol.as_deref()
    }

    /// As [`WebSocket::response_headers`](super::WebSocket::response_headers).
    pub fn response_headers(&self) -> &HeaderMap {
        &self.receiver.access.0.about.headers
    }

    /// A half that sends.
    pub fn writer(&self) -> Writer<S> {
        Writer {
            both: Arc::clone(&self.receiver.access.0),
        }
    }
}

impl<S> fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("peer", &self.receiver.access.0.about.peer)
            .finish_non_exhaustive()
    }
}

/// The half of a [`WebSocket`](super::WebSocket) that sends; clones belong to the same connection.
///
/// Calls of several threads take turns; each message stays whole, but fragments of two messages
/// must not be mixed, so only one thread at a time may send those.
pub struct Writer<S = Stream> {
    both: Arc<Both<S>>,
}

impl<S: TimedStream> Writer<S> {
    fn transmit(
        &self,
        call: impl FnOnce(&mut ws::WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) -> Result<(), Error> {
        let outcome = transmit(&mut WriterSide(&self.both), call);
        if matches!(outcome, Err(Error::Closed(_))) {
            // The reader may not know.
            self.both.waker.wake();
        }
        outcome
    }

    /// Sends a message, and waits until the system has taken it, or until the peer takes nothing
    /// for [`Limits::write_stall_timeout`](crate::Limits::write_stall_timeout).
    ///
    /// # Errors
    ///
    /// As for [`WebSocket::send`](super::WebSocket::send).
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        self.transmit(|machine, cx| machine.send(message, cx))
    }

    /// As [`WebSocket::send_fragment`](super::WebSocket::send_fragment).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_fragment<'m>(
        &self,
        fragment: impl Into<Message<'m>>,
        last: bool,
    ) -> Result<(), Error> {
        let fragment = fragment.into();
        self.transmit(|machine, cx| machine.send_fragment(fragment, last, cx))
    }

    /// As [`WebSocket::ping`](super::WebSocket::ping).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ping(&self, data: &[u8]) -> Result<(), Error> {
        self.transmit(|machine, cx| machine.ping(data, cx))
    }

    /// As [`WebSocket::pong`](super::WebSocket::pong).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn pong(&self, data: &[u8]) -> Result<(), Error> {
        self.transmit(|machine, cx| machine.pong(data, cx))
    }

    /// Begins to close. Messages that still arrive are dropped; the [`Reader`] is told how it ends.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and for a code that must not be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_closing(|machine, cx| machine.close(code, reason, cx))
    }

    /// Says that nothing more will be sent; the [`Reader`] receives what still arrives.
    ///
    /// # Errors
    ///
    /// As for [`close`](Self::close).
    pub fn close_sending(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_closing(|machine, cx| machine.close_sending(code, reason, cx))
    }

    fn begin_closing(
        &self,
        call: impl FnOnce(&mut ws::WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) -> Result<(), Error> {
        self.transmit(|machine, cx| {
            call(machine, cx)?;
            // From now on there is a deadline that the reader does not know.
            self.both.waker.wake();
            Ok(())
        })
    }

    /// Waits until the system has everything that was sent.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn flush(&self) -> Result<(), Error> {
        flush(&mut WriterSide(&self.both))
    }

    /// Who is at the other end, with what TLS agreed on.
    pub fn peer(&self) -> &Peer {
        &self.both.about.peer
    }
}

impl<S> Clone for Writer<S> {
    fn clone(&self) -> Self {
        Self {
            both: Arc::clone(&self.both),
        }
    }
}

impl<S> fmt::Debug for Writer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("peer", &self.both.about.peer)
            .finish_non_exhaustive()
    }
}
