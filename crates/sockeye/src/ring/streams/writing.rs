//! Writing: small writes are collected and handed over together with everything else; large ones
//! are made at once, where a system call weighs little and a copy would weigh more.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use libc::{POLLERR, POLLHUP, POLLOUT};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::{Streams, errno};
use crate::net::socket::Socket;
use crate::ring::queue::{Answer, Op, Queue};
use crate::ring::stream::Stream;

/// What is written in one go up to this is copied and sent with the rest; more is written directly.
const SMALL: usize = 4096;

impl Streams {
    pub(in crate::ring) fn write(
        &mut self,
        queue: &mut Queue,
        key: u32,
        socket: &Socket,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let stream = self.get(key);
        if let Some(errno) = stream.error {
            return Err(errno.into());
        }
        let len = slices.iter().map(|slice| slice.len()).sum();
        if stream.flags.sending && stream.rest() + len <= SMALL {
            // As a socket would have room for: a farewell must not get lost.
            for slice in slices {
                stream.backlog().rest.extend_from_slice(slice);
            }
            self.has_sequel = true;
            return Ok(len);
        }
        if stream.flags.sending || !self.send_rest(queue, key)? {
            self.touch(key);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if len <= SMALL && queue.has_room(len) {
            let stream = self.get(key);
            stream.parcel = queue.send(stream.fd, key, slices.iter().map(|slice| &**slice))?;
            stream.flags.sending = true;
            if queue.is_terse() {
                self.outbound.push(key);
            }
            return Ok(len);
        }
        let written = socket.write_vectored(slices);
        if !matches!(written, Ok(written) if written == len) {
            // Whoever waits for room is to be told, also if he waited before.
            self.touch(key);
        }
        written
    }

    /// Whether all that was taken to be sent is.
    pub(in crate::ring) fn flush(&mut self, queue: &mut Queue, key: u32) -> io::Result<bool> {
        self.send_rest(queue, key)
    }

    /// Writes what a send could not send. Returns whether nothing is left of it.
    fn send_rest(&mut self, queue: &mut Queue, key: u32) -> io::Result<bool> {
        let stream = self.get(key);
        if !stream.has_rest() {
            return Ok(true);
        }
        if stream.flags.sending {
            return Ok(false);
        }
        let fd = stream.fd();
        let sent = loop {
            match send(
                fd,
                &stream.backlog().rest,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) {
                Err(Errno::INTR) => {}
                sent => break sent,
            }
        };
        match sent {
            Ok(len) => drop(stream.backlog().rest.drain(..len)),
            Err(Errno::AGAIN) => {}
            Err(errno) => {
                stream.error = Some(errno);
                stream.backlog().rest.clear();
                stream.tidy();
                self.touch(key);
                return Err(errno.into());
            }
        }
        let stream = self.get(key);
        if stream.has_rest() {
            self.await_room(queue, key)?;
            return Ok(false);
        }
        stream.tidy();
        self.all_sent(queue, key)?;
        Ok(true)
    }

    pub(in crate::ring) fn shutdown_write(&mut self, key: u32, socket: &Socket) {
        let stream = self.get(key);
        if stream.flags.sending || stream.has_rest() {
            stream.flags.shut = true;
            self.has_sequel = true;
        } else {
            drop(socket.shutdown_write());
        }
    }

    pub(super) fn await_room(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let stream = self.get(key);
        if !std::mem::replace(&mut stream.flags.awaiting_room, true) {
            queue.poll(stream.fd, Op::Room, key, POLLOUT)?;
        }
        Ok(())
    }

    /// Nothing waits to be sent any more: what waited for that may happen.
    fn all_sent(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let stream = self.get(key);
        if std::mem::take(&mut stream.flags.shut) {
            // The peer may be gone already, which the next receive tells.
            let _ = shutdown(stream.fd(), Shutdown::Write);
        }
        if stream.flags.closing {
            return self.end(queue, key);
        }
        if stream.interest.writable {
            stream.flags.has_room = true;
            self.touch(key);
        }
        Ok(())
    }

    /// The kernel has sent something.
    pub(in crate::ring) fn sent(&mut self, queue: &mut Queue, answer: Answer) -> io::Result<()> {
        let key = answer.key;
        let stream = self.get(key);
        stream.flags.sending = false;
        let parcel = std::mem::take(&mut stream.parcel);
        let sent = match errno(answer.result) {
            None => usize::try_from(answer.result).unwrap_or(0),
            Some(Errno::AGAIN | Errno::INTR) => 0,
            Some(errno) => {
                stream.error = Some(errno);
                self.touch(key);
                parcel.len()
            }
        };
        if sent >= parcel.len() {
            return self.go_on(queue, key);
        }
        let unsent = queue.unsent(parcel, sent);
        let stream = self.get(key);
        stream.backlog().rest.splice(..0, unsent.iter().copied());
        if stream.flags.closing {
            self.linger(key);
        }
        self.await_room(queue, key)
    }

    /// A send is over: what was written after it follows.
    fn go_on(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        if !self.get(key).has_rest() {
            return self.all_sent(queue, key);
        }
        // A failure is the connection's, which is told when it asks.
        if self.send_rest(queue, key).is_err() && self.get(key).flags.closing {
            return self.end(queue, key);
        }
        Ok(())
    }

    /// Every send was made that was not answered.
    pub(in crate::ring) fn sent_all(&mut self, queue: &mut Queue) -> io::Result<()> {
        let mut outbound = std::mem::take(&mut self.outbound);
        for key in outbound.drain(..) {
            let stream = self.get(key);
            if std::mem::take(&mut stream.flags.sending) {
                self.go_on(queue, key)?;
            }
        }
        self.outbound = outbound;
        Ok(())
    }

    /// The kernel takes bytes again.
    pub(in crate::ring) fn has_room(
        &mut self,
        queue: &mut Queue,
        answer: Answer,
    ) -> io::Result<()> {
        let key = answer.key;
        let stream = self.get(key);
        stream.flags.awaiting_room = false;
        if stream.flags.closed {
            self.reuse(key);
            return Ok(());
        }
        let events = u16::try_from(answer.result).unwrap_or(0) as i16;
        stream.flags.hangup |= events & (POLLERR | POLLHUP) != 0;
        stream.flags.has_room = stream.interest.writable;
        self.touch(key);
        if self.get(key).has_rest() {
            return self.go_on(queue, key);
        }
        Ok(())
    }
}

impl Stream {
    /// Its socket.
    #[allow(unsafe_code)]
    fn fd<'f>(&self) -> BorrowedFd<'f> {
        // SAFETY: the link, or `socket` after it, keeps the descriptor open until `end`, which is
        // the last thing that happens to a stream; what is borrowed here is used at once.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}
