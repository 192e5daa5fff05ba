//! What a connection still has to write: bytes of its own in one buffer, behind it shared and large
//! payloads as segments of their own.
//!
//! Knows nothing of sockets but [`Link::write_vectored`], nothing of messages but where one may be
//! dropped. An empty outbox owns no memory: its buffer goes back to the loop's [`Pool`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::link::Link;

/// Buffers larger than this are freed rather than kept for the next connection.
const POOLED_LEN: usize = 512 * 1024;
/// How many buffers a loop keeps. Nearly always one is in use: the same hot one serves everybody.
const POOLED_COUNT: usize = 8;
/// The size of a fresh buffer: a read of small messages, echoed, fits.
const SEGMENT_LEN: usize = 16 * 1024;
/// What a segment costs besides its bytes: its place in the queue, and its allocation.
const SEGMENT_COST: usize = 64;
/// Segments offered to one system call.
const SLICES: usize = 32;

/// The loop's spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    spare: Vec<Vec<u8>>,
}

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(SEGMENT_LEN))
    }

    /// A spare buffer, or one that is just large enough. When many connections are sent something
    /// at once, all but a few would otherwise get a large buffer for a short message.
    fn take_for(&mut self, len: usize) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(len))
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() >= SEGMENT_LEN
            && buffer.capacity() <= POOLED_LEN
            && self.spare.len() < POOLED_COUNT
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[derive(Debug)]
enum Payload {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Payload {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Segment {
    payload: Payload,
    /// A whole message that `Overflow::DropOldest` may take out again.
    droppable: bool,
}

impl Segment {
    fn len(&self) -> usize {
        self.payload.bytes().len()
    }
}

/// Segments behind the first buffer.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are written.
    written: usize,
    /// Bytes of all segments but the last, which may still grow.
    settled: usize,
}

/// Bytes waiting to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    front: Vec<u8>,
    written: usize,
    queue: Option<Box<Queue>>,
}

/// What became of a [`Outbox::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is written.
    Clear,
    /// The socket takes no more now.
    Blocked,
}

impl Outbox {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        let front = self.front.len() - self.written;
        match &self.queue {
            None => front,
            Some(queue) => front + queue.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // A lent buffer may be in the queue without a byte in it.
        self.len() == 0
    }

    /// What waits, in bytes of memory: many small segments are more than their content.
    pub(crate) fn cost(&self) -> usize {
        let segments = self.queue.as_ref().map_or(0, |queue| queue.segments.len());
        self.len() + segments * SEGMENT_COST
    }

    /// Whether all that waits lies in one buffer.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.queue.is_none()
    }

    /// Where the next bytes are appended.
    pub(crate) fn tail(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        let Some(queue) = &mut self.queue else {
            if self.front.capacity() == 0 {
                self.front = pool.take();
            }
            return &mut self.front;
        };
        queue.tail(pool)
    }

    /// As [`tail`](Self::tail), when it is known how many bytes will be appended.
    pub(crate) fn tail_for(&mut self, len: usize, pool: &mut Pool) -> &mut Vec<u8> {
        if self.queue.is_none() && self.front.capacity() == 0 {
            self.front = pool.take_for(len);
        }
        self.tail(pool)
    }

    /// Queues bytes that others hold too, without copying them.
    pub(crate) fn push_shared(&mut self, bytes: &Arc<[u8]>, droppable: bool) {
        let queue = self.queue.get_or_insert_default();
        queue.push(Segment {
            payload: Payload::Shared(Arc::clone(bytes)),
            droppable,
        });
    }

    /// Queues bytes that came with a buffer of their own.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>, droppable: bool) {
        let queue = self.queue.get_or_insert_default();
        queue.push(Segment {
            payload: Payload::Owned(bytes),
            droppable,
        });
    }

    /// Removes the oldest whole messages no byte of which is written, until `len` less is the
    /// [`cost`](Self::cost) or none is left. Returns how many messages went.
    pub(crate) fn drop_oldest(&mut self, len: usize) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        let (mut freed, mut dropped, mut index) = (0, 0, 0);
        let front_is_written = self.front.len() == self.written;
        while freed < len && index < queue.segments.len() {
            let begun = index == 0 && front_is_written && queue.written > 0;
            if queue.segments[index].droppable && !begun {
                freed += queue.remove(index) + SEGMENT_COST;
                dropped += 1;
            } else {
                index += 1;
            }
        }
        if queue.segments.is_empty() {
            self.queue = None;
        }
        dropped
    }

    /// Writes until all is written or the socket is full. A short write counts as full: asking once
    /// more would only cost a system call.
    ///
    /// # Errors
    ///
    /// What the link said; the connection is then lost.
    pub(crate) fn flush(&mut self, link: &mut Link, pool: &mut Pool) -> io::Result<Flushed> {
        loop {
            if self.is_empty() {
                self.clear(pool);
                let done = link.flush()?;
                return Ok(if done {
                    Flushed::Clear
                } else {
                    Flushed::Blocked
                });
            }
            let (offered, outcome) = self.write(link);
            match outcome {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.advance(written);
                    if written < offered {
                        return Ok(Flushed::Blocked);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets everything and gives the buffer back.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        pool.give(std::mem::take(&mut self.front));
        self.written = 0;
        self.queue = None;
    }

    /// Offers as much as one call takes: how much that was, and what came of it.
    fn write(&self, link: &mut Link) -> (usize, io::Result<usize>) {
        if self.queue.is_none() {
            let front = &self.front[self.written..];
            return (front.len(), link.write_vectored(&[IoSlice::new(front)]));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (count, offered) = self.fill(&mut slices);
        (offered, link.write_vectored(&slices[..count]))
    }

    fn fill<'s>(&'s self, slices: &mut [IoSlice<'s>; SLICES]) -> (usize, usize) {
        let mut count = 0;
        let mut offered = 0;
        let mut offer = |bytes: &'s [u8]| {
            if !bytes.is_empty() && count < SLICES {
                slices[count] = IoSlice::new(bytes);
                count += 1;
                offered += bytes.len();
            }
        };
        offer(&self.front[self.written..]);
        if let Some(queue) = &self.queue {
            let mut skip = queue.written;
            for segment in queue.segments.iter().take(SLICES) {
                offer(&segment.payload.bytes()[skip..]);
                skip = 0;
            }
        }
        (count, offered)
    }

    fn advance(&mut self, mut written: usize) {
        let front = written.min(self.front.len() - self.written);
        self.written += front;
        written -= front;
        if self.written == self.front.len() {
            self.front.clear();
            self.written = 0;
        }
        let Some(queue) = &mut self.queue else { return };
        queue.written += written;
        while let Some(segment) = queue.segments.front() {
            let len = segment.len();
            if queue.written < len {
                break;
            }
            queue.written -= len;
            queue.segments.pop_front();
            queue.settled = queue.settled.saturating_sub(len);
        }
        if queue.segments.is_empty() {
            self.queue = None;
        }
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.settled + self.segments.back().map_or(0, Segment::len) - self.written
    }

    fn push(&mut self, segment: Segment) {
        self.settled += self.segments.back().map_or(0, Segment::len);
        self.segments.push_back(segment);
    }

    /// Takes a segment out; returns its length.
    fn remove(&mut self, index: usize) -> usize {
        let len = self
            .segments
            .remove(index)
            .map_or(0, |removed| removed.len());
        self.settled -= match self.segments.back() {
            // The one before it is the last now.
            Some(last) if index == self.segments.len() => last.len(),
            Some(_) => len,
            None => 0,
        };
        len
    }

    fn tail(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        let appendable = matches!(
            self.segments.back(),
            Some(Segment {
                payload: Payload::Owned(_),
                droppable: false
            })
        );
        if !appendable {
            self.push(Segment {
                payload: Payload::Owned(pool.take()),
                droppable: false,
            });
        }
        match self.segments.back_mut() {
            Some(Segment {
                payload: Payload::Owned(buffer),
                ..
            }) => buffer,
            _ => unreachable!("an owned segment was just made sure of"),
        }
    }
}

#[cfg(test)]
mod tests;
