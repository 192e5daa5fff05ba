//! What an OpenSSL connection reads and writes: two buffers in memory.
//!
//! A connection of OpenSSL owns its stream, a [`Session`](crate::tls::session::Session) is lent one
//! for each call, so records pass through here. That is one copy more, but many records take one
//! system call. While nothing is under way a pipe owns no memory: its buffers are the thread's.

use std::cell::Cell;
use std::io::{self, Read, Write};

use crate::tls::session::Stream;

/// As much is read from a stream at once.
const INPUT_LEN: usize = 128 * 1024;
/// Larger buffers are not kept.
const KEPT_LEN: usize = 256 * 1024;

thread_local! {
    /// The buffer that records are read into, all of it initialised.
    static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The buffer that records are written to.
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug, Default)]
pub(super) struct Pipe {
    input: Vec<u8>,
    taken: usize,
    received: usize,
    /// The stream has ended.
    ended: bool,
    output: Vec<u8>,
    written: usize,
}

impl Pipe {
    /// Records that wait to be decrypted.
    pub(super) fn has_input(&self) -> bool {
        self.taken < self.received
    }

    /// How much waits to be written.
    pub(super) fn output_len(&self) -> usize {
        self.output.len() - self.written
    }

    /// Reads once; whatever was read before has been taken. Returns whether the stream goes on.
    pub(super) fn fill(&mut self, stream: &mut dyn Stream) -> io::Result<bool> {
        if self.has_input() || self.ended {
            return Ok(!self.ended);
        }
        if self.input.is_empty() {
            self.input = INPUT.take();
            self.input.resize(INPUT_LEN, 0);
        }
        match stream.read(&mut self.input) {
            Ok(len) => {
                (self.taken, self.received) = (0, len);
                self.ended = len == 0;
            }
            Err(error) => {
                self.release();
                return Err(error);
            }
        }
        Ok(!self.ended)
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        while self.written < self.output.len() {
            match stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.release();
        Ok(())
    }

    /// Gives buffers back that hold nothing.
    pub(super) fn release(&mut self) {
        if !self.has_input() && !self.input.is_empty() {
            INPUT.set(std::mem::take(&mut self.input));
            (self.taken, self.received) = (0, 0);
        }
        if self.output_len() == 0 && self.output.capacity() > 0 {
            let mut output = std::mem::take(&mut self.output);
            self.written = 0;
            output.clear();
            if output.capacity() <= KEPT_LEN {
                OUTPUT.set(output);
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = &self.input[self.taken..self.received];
        if waiting.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = waiting.len().min(buffer.len());
        buffer[..len].copy_from_slice(&waiting[..len]);
        self.taken += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.output.capacity() == 0 {
            self.output = OUTPUT.take();
        }
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
