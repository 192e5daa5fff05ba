//! The streams of a ring, and what happens to them: asked by their links, answered by the kernel.
//!
//! One receive is under way for each stream that may be read, and at most one send. Small writes
//! are collected and handed over together with everything else; large ones are written at once,
//! where a system call weighs little and a copy would weigh more.
//!
//! The same goes for reading. What the kernel receives for many streams before one of them is
//! looked at has left the processor's cache by then, which costs more than a system call saves if
//! it is much. So a stream that much arrives on is watched instead, and read where it is used.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::queue::{Answer, Op, Queue};
use super::stream::{Received, Stream};
use crate::net::socket::Socket;
use crate::poll::{Interest, Ready, Token};

/// What is written in one go up to this is copied and sent with the rest; more is written directly.
const SMALL: usize = 4096;
/// A stream is read by itself from the time on when so much has arrived at once.
const LARGE: usize = 4096;
/// After so many smaller reads in a row it is received for again.
const SMALL_READS: u8 = 16;
/// So much may be kept for a stream that is not read before the kernel is told to receive no more.
const KEPT: usize = 64 * 1024;
/// How long the last bytes of a closed stream may take, as the kernel's own would.
const LINGER: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// Those that may have something to tell.
    touched: Vec<u32>,
    /// Those that something was sent for since the last wait.
    outbound: Vec<u32>,
    /// Something is to follow as soon as a send is handed over, which nothing else tells.
    has_sequel: bool,
    /// Those that are closed and not all sent.
    lingering: Vec<u32>,
}

impl Streams {
    pub(super) fn open(&mut self, socket: &Socket) -> u32 {
        use std::os::fd::{AsFd, AsRawFd};
        let stream = Stream::new(socket.as_fd().as_raw_fd());
        match self.free.pop() {
            Some(key) => {
                self.slots[key as usize] = stream;
                key
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() - 1) as u32
            }
        }
    }

    #[cfg(test)]
    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    pub(super) fn is_large(&self, stream: &super::RingStream) -> bool {
        self.slots[stream.key() as usize].flags.large
    }

    #[cfg(test)]
    pub(super) fn kept(&self, stream: &super::RingStream) -> usize {
        self.slots[stream.key() as usize].kept()
    }

    fn get(&mut self, key: u32) -> &mut Stream {
        &mut self.slots[key as usize]
    }

    /// Puts a stream on the list of those with something to tell.
    fn touch(&mut self, key: u32) {
        let stream = &mut self.slots[key as usize];
        if !std::mem::replace(&mut stream.flags.listed, true) {
            self.touched.push(key);
        }
    }

    pub(super) fn set_interest(
        &mut self,
        queue: &mut Queue,
        key: u32,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let stream = self.get(key);
        stream.token = token;
        stream.interest = interest;
        if !interest.readable {
            self.stop_receiving(queue, key)?;
        }
        self.receive(queue, key)?;
        self.touch(key);
        Ok(())
    }

    /// Lets the kernel receive, or tell what there is to read, if that is wanted and it does not
    /// already.
    fn receive(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let stream = self.get(key);
        let wanted = stream.interest.readable && !stream.is_over() && stream.kept() == 0;
        let flags = &mut stream.flags;
        if !wanted || flags.receiving {
            return Ok(());
        }
        if !flags.large {
            flags.receiving = true;
            return queue.receive(stream.fd, key);
        }
        if !flags.readable && !std::mem::replace(&mut flags.awaiting_news, true) {
            queue.poll(stream.fd, Op::News, key, POLLIN)?;
        }
        Ok(())
    }

    /// Lets the kernel receive no more.
    fn stop_receiving(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let flags = &mut self.get(key).flags;
        if flags.receiving && !std::mem::replace(&mut flags.stopping, true) {
            queue.cancel(Op::Receive, key)?;
        }
        Ok(())
    }

    pub(super) fn take(&mut self, queue: &mut Queue, key: u32) -> io::Result<Option<Received>> {
        let taken = self.get(key).take();
        if let Ok(Some(Received::Kept(_))) = taken {
            self.receive(queue, key)?;
        }
        taken
    }

    pub(super) fn has_more(&self, key: u32) -> bool {
        self.slots[key as usize].has_more()
    }

    /// Whether what comes next is to be read from the socket.
    pub(super) fn reads_socket(&self, key: u32) -> bool {
        let stream = &self.slots[key as usize];
        stream.flags.readable && !stream.has_more()
    }

    pub(super) fn read(
        &mut self,
        queue: &mut Queue,
        key: u32,
        socket: &Socket,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let read = match self.reads_socket(key) {
            true => self.read_socket(key, socket, buffer),
            false => self.get(key).read(buffer),
        };
        self.receive(queue, key)?;
        read
    }

    fn read_socket(&mut self, key: u32, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        let read = socket.read(buffer);
        let stream = self.get(key);
        stream.flags.readable = match read {
            Ok(0) => {
                stream.flags.eof = true;
                false
            }
            Ok(len) => {
                stream.small_reads = match len < LARGE {
                    true => stream.small_reads.saturating_add(1),
                    false => 0,
                };
                // There is nothing left that would have to be read before what is received.
                stream.flags.large = len == buffer.len() || stream.small_reads < SMALL_READS;
                len == buffer.len()
            }
            Err(ref error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(ref error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(ref error) => {
                stream.error = Errno::from_io_error(error).or(Some(Errno::IO));
                false
            }
        };
        read
    }

    /// There is something to read.
    pub(super) fn has_news(&mut self, answer: Answer) {
        let key = answer.key;
        let flags = &mut self.get(key).flags;
        flags.awaiting_news = false;
        if flags.closed {
            return self.reuse(key);
        }
        flags.readable = true;
        self.touch(key);
    }

    pub(super) fn write(
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
    pub(super) fn flush(&mut self, queue: &mut Queue, key: u32) -> io::Result<bool> {
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

    fn await_room(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
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

    pub(super) fn shutdown_write(&mut self, key: u32, socket: &Socket) {
        let stream = self.get(key);
        if stream.flags.sending || stream.has_rest() {
            stream.flags.shut = true;
            self.has_sequel = true;
        } else {
            drop(socket.shutdown_write());
        }
    }

    /// The connection lets go of it. What it has written is still sent.
    pub(super) fn close(&mut self, queue: &mut Queue, key: u32, socket: Socket) -> io::Result<()> {
        let stream = self.get(key);
        stream.flags.closing = true;
        stream.socket = Some(socket);
        stream.first = None;
        stream.interest = Interest::NONE;
        if let Some(backlog) = &mut stream.backlog {
            backlog.kept.clear();
            backlog.more.clear();
        }
        stream.tidy();
        self.stop_receiving(queue, key)?;
        if self.get(key).flags.sending {
            self.has_sequel = true;
        }
        if self.get(key).has_rest() {
            self.linger(key);
        } else if !self.get(key).flags.sending {
            self.end(queue, key)?;
        }
        Ok(())
    }

    fn linger(&mut self, key: u32) {
        let stream = self.get(key);
        if stream.give_up_at.is_none() {
            stream.give_up_at = Instant::now().checked_add(LINGER);
            self.lingering.push(key);
        }
    }

    /// Closes the socket of a stream that is closing.
    fn end(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let stream = self.get(key);
        let was_lingering = stream.give_up_at.take().is_some();
        let flags = stream.flags;
        if flags.awaiting_news {
            queue.cancel(Op::News, key)?;
        }
        if flags.awaiting_room {
            queue.cancel(Op::Room, key)?;
        }
        let stream = self.get(key);
        if let Some(socket) = stream.socket.take() {
            stream.flags.closed = true;
            queue.close(socket.into_fd())?;
        }
        if was_lingering {
            self.lingering.retain(|&other| other != key);
        }
        self.reuse(key);
        Ok(())
    }

    /// Frees the slot of a stream that nobody speaks of any more.
    fn reuse(&mut self, key: u32) {
        let stream = self.get(key);
        if stream.flags.closed && !stream.is_busy() && !stream.flags.listed {
            stream.flags.closed = false;
            self.free.push(key);
        }
    }

    /// Gives up closed streams whose peers do not take the last bytes. Returns when to look again.
    pub(super) fn expire(&mut self, queue: &mut Queue) -> io::Result<Option<Duration>> {
        if self.lingering.is_empty() {
            return Ok(None);
        }
        let now = Instant::now();
        let mut next = None;
        for key in self.lingering.clone() {
            let give_up_at = self.get(key).give_up_at.unwrap_or(now);
            match give_up_at
                .checked_duration_since(now)
                .filter(|left| !left.is_zero())
            {
                None => self.end(queue, key)?,
                left => next = [next, left].into_iter().flatten().min(),
            }
        }
        Ok(next)
    }

    /// Before a wait: what was reported and is still so will be reported again, and provided
    /// buffers that nobody took go back. Returns whether there is something to report at once.
    pub(super) fn prepare(&mut self, queue: &mut Queue) -> io::Result<bool> {
        let mut touched = std::mem::take(&mut self.touched);
        let mut has_news = std::mem::take(&mut self.has_sequel);
        for &key in &touched {
            let stream = self.get(key);
            stream.flags.listed = false;
            if stream.flags.closing {
                self.reuse(key);
                continue;
            }
            stream.keep_all();
            if stream.kept() > KEPT {
                self.stop_receiving(queue, key)?;
            }
            if self.get(key).report().is_some() {
                has_news = true;
                self.touch(key);
            }
            let stream = self.get(key);
            if !stream.interest.writable || stream.flags.has_room {
                continue;
            }
            if stream.flags.sending {
                // There is room as soon as that is handed over.
                has_news = true;
            } else {
                self.await_room(queue, key)?;
            }
        }
        touched.clear();
        if self.touched.is_empty() {
            self.touched = touched;
        }
        Ok(has_news)
    }

    /// After a wait: says what there is to say.
    pub(super) fn report(&mut self, ready: &mut Vec<Ready>) {
        for &key in &self.touched {
            let stream = &mut self.slots[key as usize];
            ready.extend(stream.report());
            stream.flags.has_room = false;
        }
    }

    /// The kernel has received something, or receives no more.
    pub(super) fn received(&mut self, queue: &mut Queue, answer: Answer) -> io::Result<()> {
        let key = answer.key;
        let lent = match answer.buffer() {
            None => None,
            Some((id, more)) => {
                let len = usize::try_from(answer.result).unwrap_or(0);
                // What it cannot have written is not looked at.
                let lent = queue.buffers.received(id, len, more);
                Some(lent.ok_or_else(|| io::Error::other("the kernel received out of bounds"))?)
            }
        };
        let stream = self.get(key);
        if !answer.goes_on() {
            stream.flags.receiving = false;
            stream.flags.stopping = false;
        }
        if stream.flags.closing {
            self.reuse(key);
            return Ok(());
        }
        let mut is_large = false;
        match errno(answer.result) {
            None if answer.result == 0 => stream.flags.eof = true,
            None => {
                if let Some(lent) = lent {
                    is_large = lent.len() >= LARGE;
                    stream.arrived(lent);
                }
            }
            Some(Errno::NOBUFS) => queue.buffers.ran_out(),
            // It was told to stop, and goes on when that is over.
            Some(Errno::CANCELED | Errno::AGAIN | Errno::INTR) => {}
            Some(errno) => stream.error = Some(errno),
        }
        if is_large && !std::mem::replace(&mut stream.flags.large, true) {
            stream.small_reads = 0;
            self.stop_receiving(queue, key)?;
        }
        self.touch(key);
        self.receive(queue, key)
    }

    /// The kernel has sent something.
    pub(super) fn sent(&mut self, queue: &mut Queue, answer: Answer) -> io::Result<()> {
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
    pub(super) fn sent_all(&mut self, queue: &mut Queue) -> io::Result<()> {
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
    pub(super) fn has_room(&mut self, queue: &mut Queue, answer: Answer) -> io::Result<()> {
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

    /// What a poller would say.
    fn report(&self) -> Option<Ready> {
        let report = Ready {
            token: self.token,
            readable: self.interest.readable && self.has_news(),
            writable: self.interest.writable && self.flags.has_room,
            hangup: !self.interest.is_none() && (self.flags.hangup || self.error.is_some()),
        };
        (report.readable || report.writable || report.hangup).then_some(report)
    }
}

fn errno(result: i32) -> Option<Errno> {
    (result < 0).then(|| Errno::from_raw_os_error(-result))
}
