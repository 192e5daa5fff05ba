//! The streams of a ring, and what happens to them: asked by their links, answered by the kernel.
//!
//! One receive is under way for each stream that may be read, or one question when it can be, and
//! at most one send. Here is how streams begin and end and what is told of them;
//! [`reading`] and [`writing`] are the rest.

mod reading;
mod writing;

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::queue::{Op, Queue};
use super::slots::Slots;
use super::stream::Stream;
use crate::net::socket::Socket;
use crate::poll::{Interest, Ready, Token};

/// So much may be kept for a stream that is not read before the kernel is told to receive no more.
const KEPT: usize = 64 * 1024;
/// How long the last bytes of a closed stream may take, as the kernel's own would.
const LINGER: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Slots<Stream>,
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
        self.slots.insert(Stream::new(socket.as_fd().as_raw_fd()))
    }

    #[cfg(test)]
    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    pub(super) fn is_large(&self, stream: &super::RingStream) -> bool {
        self.slots[stream.key()].flags.large
    }

    #[cfg(test)]
    pub(super) fn kept(&self, stream: &super::RingStream) -> usize {
        self.slots[stream.key()].kept()
    }

    fn get(&mut self, key: u32) -> &mut Stream {
        &mut self.slots[key]
    }

    /// Puts a stream on the list of those with something to tell.
    fn touch(&mut self, key: u32) {
        let stream = &mut self.slots[key];
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
            self.slots.free(key);
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
            let stream = &mut self.slots[key];
            ready.extend(stream.report());
            stream.flags.has_room = false;
        }
    }
}

impl Stream {
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
