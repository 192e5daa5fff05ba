//! A connected socket whose bytes the ring carries: what a connection holds of its stream.
//!
//! Knows the ring, and neither connections nor what the bytes mean.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use super::{Received, Ring};
use crate::net::PeerAddr;
use crate::net::socket::Socket;
use crate::poll::{Interest, Token};

#[derive(Debug)]
pub(crate) struct RingStream {
    ring: Rc<Ring>,
    /// There until this is dropped.
    socket: Option<Socket>,
    key: u32,
}

impl RingStream {
    pub(crate) fn new(ring: &Rc<Ring>, socket: Socket) -> Self {
        let key = ring.state.borrow_mut().streams.open(&socket);
        Self {
            ring: Rc::clone(ring),
            socket: Some(socket),
            key,
        }
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> u32 {
        self.key
    }

    pub(crate) fn set_interest(&self, token: Token, interest: Interest) {
        let key = self.key;
        self.ring
            .with(|streams, queue| streams.set_interest(queue, key, token, interest));
    }

    /// The next bytes that have arrived, without a copy; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing has arrived; what ended the stream.
    pub(crate) fn take(&self) -> io::Result<Option<Received>> {
        let state = &mut *self.ring.state.borrow_mut();
        state.streams.take(&mut state.queue, self.key)
    }

    /// Whether [`take`](Self::take) finds more bytes.
    pub(crate) fn has_more(&self) -> bool {
        self.ring.state.borrow().streams.has_more(self.key)
    }

    /// Whether the next bytes are not there yet, but in the socket, for [`read`](Self::read).
    pub(crate) fn reads_socket(&self) -> bool {
        self.ring.state.borrow().streams.reads_socket(self.key)
    }

    /// As [`take`](Self::take), copied; 0 at the end of the stream.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(socket) = &self.socket else {
            return Ok(0);
        };
        let state = &mut *self.ring.state.borrow_mut();
        state
            .streams
            .read(&mut state.queue, self.key, socket, buffer)
    }

    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(socket) = &self.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let state = &mut *self.ring.state.borrow_mut();
        state
            .streams
            .write(&mut state.queue, self.key, socket, slices)
    }

    /// Whether all that was taken is sent, as far as that can be said.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        let state = &mut *self.ring.state.borrow_mut();
        state.streams.flush(&mut state.queue, self.key)
    }

    pub(crate) fn shutdown_write(&self) {
        if let Some(socket) = &self.socket {
            self.ring
                .state
                .borrow_mut()
                .streams
                .shutdown_write(self.key, socket);
        }
    }

    pub(crate) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn peer_addr(&self) -> Option<PeerAddr> {
        self.socket.as_ref()?.peer_addr().ok()
    }
}

impl Drop for RingStream {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            let key = self.key;
            self.ring
                .with(|streams, queue| streams.close(queue, key, socket));
        }
    }
}
