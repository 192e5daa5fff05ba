//! A stream and what waits to be written to it.
//!
//! Knows bytes; knows nothing of protocols and never waits. Invariant: what has been appended is
//! written in order and once, and after a failed write nothing more is.

use std::io;
use std::time::{Duration, Instant};

use super::stream::TimedStream;
use crate::poll::Interest;

/// An output buffer that a large message made larger than this is not kept.
const KEPT_LEN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Pipe<S> {
    stream: S,
    /// Where machines append; the front part may be written already.
    output: Vec<u8>,
    done: usize,
    /// Bytes that the stream has taken ever.
    position: u64,
    /// The stream may hold back some of it.
    unflushed: bool,
    /// Since when the stream takes nothing.
    stalled: Option<Instant>,
    failed: Option<io::ErrorKind>,
}

impl<S: TimedStream> Pipe<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            output: Vec::new(),
            done: 0,
            position: 0,
            unflushed: false,
            stalled: None,
            failed: None,
        }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream, and what it has not taken.
    pub(super) fn into_parts(mut self) -> (S, Vec<u8>) {
        self.output.drain(..self.done);
        (self.stream, self.output)
    }

    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether the stream would not take what was to be written.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    pub(super) fn is_pending(&self) -> bool {
        self.done < self.output.len() || self.unflushed
    }

    pub(super) fn failed(&self) -> Option<io::ErrorKind> {
        self.failed
    }

    /// When a stream that takes nothing has done so for too long.
    pub(super) fn stall_deadline(&self, limit: Duration) -> Option<Instant> {
        self.stalled?.checked_add(limit)
    }

    /// Where the output ends that was appended so far.
    pub(super) fn mark(&self) -> u64 {
        self.position + (self.output.len() - self.done) as u64
    }

    /// Whether everything before `mark` is with the system.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        self.position >= mark && !self.unflushed
    }

    /// Writes what goes now.
    pub(super) fn write(&mut self, now: Instant) {
        let outcome = self.try_write();
        match outcome {
            Ok(()) => self.stalled = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stalled.get_or_insert(now);
            }
            Err(error) => {
                self.failed = Some(error.kind());
                self.stalled = None;
                self.unflushed = false;
                self.output = Vec::new();
                self.done = 0;
            }
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.failed.is_some() {
            self.output.clear();
            return Ok(());
        }
        while let Some(rest) = self.output.get(self.done..)
            && !rest.is_empty()
        {
            match self.stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.done += len;
                    self.position += len as u64;
                    self.unflushed = true;
                    self.stalled = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.done = 0;
        if self.output.capacity() > KEPT_LEN {
            self.output = Vec::new();
        } else {
            self.output.clear();
        }
        if self.unflushed || self.stream.wants_write(false) {
            self.stream.try_flush()?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Reads what is there: `None` if nothing is, zero at the end of the stream.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match self.stream.try_read(buffer) {
                Ok(len) => Ok(Some(len)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Ok(None),
                    _ => Err(error),
                },
            };
        }
    }

    /// What to wait for to get on.
    pub(super) fn interest(&self) -> Interest {
        Interest {
            readable: true,
            ..self.write_interest()
        }
    }

    /// What to wait for to get on with writing.
    pub(super) fn write_interest(&self) -> Interest {
        Interest {
            readable: self.stream.is_handshaking(),
            writable: self.stream.wants_write(self.is_pending()),
        }
    }

    pub(super) fn shutdown_write(&mut self) {
        // Whoever is gone needs no farewell.
        drop(self.stream.shutdown_write());
    }
}
