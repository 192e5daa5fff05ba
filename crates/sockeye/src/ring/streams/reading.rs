//! Reading: what the kernel receives of its own accord, and what is read when its turn has come.
//!
//! What is received for many streams before one of them is looked at has left the processor's
//! cache by then, which costs more than a system call saves if it is much. So a stream that much
//! arrives on is watched instead, and read where it is used.

use std::io;

use libc::POLLIN;
use rustix::io::Errno;

use super::{Streams, errno};
use crate::net::socket::Socket;
use crate::ring::queue::{Answer, Op, Queue};
use crate::ring::stream::Received;

/// A stream is read by itself from the time on when so much has arrived at once.
const LARGE: usize = 4096;
/// After so many smaller reads in a row it is received for again.
const SMALL_READS: u8 = 16;

impl Streams {
    /// Lets the kernel receive, or tell what there is to read, if that is wanted and it does not
    /// already.
    pub(super) fn receive(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
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
    pub(super) fn stop_receiving(&mut self, queue: &mut Queue, key: u32) -> io::Result<()> {
        let flags = &mut self.get(key).flags;
        if flags.receiving && !std::mem::replace(&mut flags.stopping, true) {
            queue.cancel(Op::Receive, key)?;
        }
        Ok(())
    }

    pub(in crate::ring) fn take(
        &mut self,
        queue: &mut Queue,
        key: u32,
    ) -> io::Result<Option<Received>> {
        let taken = self.get(key).take();
        if let Ok(Some(Received::Kept(_))) = taken {
            self.receive(queue, key)?;
        }
        taken
    }

    pub(in crate::ring) fn has_more(&self, key: u32) -> bool {
        self.slots[key].has_more()
    }

    /// Whether what comes next is to be read from the socket.
    pub(in crate::ring) fn reads_socket(&self, key: u32) -> bool {
        let stream = &self.slots[key];
        stream.flags.readable && !stream.has_more()
    }

    pub(in crate::ring) fn read(
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

    /// The kernel has received something, or receives no more.
    pub(in crate::ring) fn received(
        &mut self,
        queue: &mut Queue,
        answer: Answer,
    ) -> io::Result<()> {
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

    /// There is something to read.
    pub(in crate::ring) fn has_news(&mut self, answer: Answer) {
        let key = answer.key;
        let flags = &mut self.get(key).flags;
        flags.awaiting_news = false;
        if flags.closed {
            return self.reuse(key);
        }
        flags.readable = true;
        self.touch(key);
    }
}
