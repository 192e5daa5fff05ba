//! What a connection still has to write: bytes of its own in one buffer, behind it shared and large
//! payloads as segments of their own; or, as long as it has nothing else, frames that many others
//! are sent too.
//!
//! Knows nothing of sockets but [`Link::write_vectored`], nothing of messages but where one may be
//! dropped. An empty outbox owns nothing: what it held goes back to the loop's [`Pool`].

mod volley;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use self::volley::{Span, Volley};
use crate::link::Link;

/// Buffers larger than this are freed rather than kept for the next connection.
const POOLED_LEN: usize = 512 * 1024;
/// How many buffers a loop keeps. Nearly always one is in use: the same hot one serves everybody.
const POOLED_COUNT: usize = 8;
/// Buffers up to this length are for a few messages, as all get who are told the same.
const SHORT_LEN: usize = 2048;
/// How many of these a loop keeps: what is published soon is again, to as many.
const SHORT_COUNT: usize = 1024;
/// The size of a fresh buffer: a read of small messages, echoed, fits.
const SEGMENT_LEN: usize = 16 * 1024;
/// What a segment costs besides its bytes: its place in the queue, and its allocation.
const SEGMENT_COST: usize = 64;
/// Segments offered to one system call.
const SLICES: usize = 32;

/// The loop's spare buffers, and what its connections share.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "outboxes hold what is in them by a pointer")]
pub(crate) struct Pool {
    spare: Vec<Box<Content>>,
    /// Shorter than what a read of messages is answered with.
    short: Vec<Box<Content>>,
    volley: Volley,
}

impl Pool {
    fn take(&mut self) -> Box<Content> {
        self.spare
            .pop()
            .unwrap_or_else(|| Box::new(Content::new(SEGMENT_LEN)))
    }

    /// What has room for `len` bytes, or will make it. When many connections are sent something at
    /// once, all but a few would otherwise get a large buffer for a short message.
    fn take_for(&mut self, len: usize) -> Box<Content> {
        self.short
            .pop()
            .or_else(|| self.spare.pop())
            .unwrap_or_else(|| Box::new(Content::new(len)))
    }

    /// What is in a span of the volley, if anything, in a buffer of its own.
    #[cold]
    fn copy(&mut self, span: &mut Span) -> Option<Box<Content>> {
        if span.is_empty() {
            return None;
        }
        let span = std::mem::take(span);
        let mut content = self.take_for(span.len());
        content.front.extend_from_slice(self.volley.bytes(span));
        Some(content)
    }

    fn give(&mut self, mut content: Box<Content>) {
        let (kept, count) = match content.front.capacity() {
            0..=SHORT_LEN => (&mut self.short, SHORT_COUNT),
            SEGMENT_LEN..=POOLED_LEN => (&mut self.spare, POOLED_COUNT),
            _ => return,
        };
        if kept.len() < count {
            content.clear();
            kept.push(content);
        }
    }

    /// Every outbox that was [joined](Outbox::join) has been flushed.
    pub(crate) fn all_flushed(&mut self) {
        self.volley.clear();
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

/// Segments behind the first buffer; none while that is enough.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are written.
    written: usize,
    /// Bytes of all segments but the last, which may still grow.
    settled: usize,
}

/// Bytes waiting to be written, in order. Small, as most connections have none at most times.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    content: Option<Box<Content>>,
    /// What waits in the loop's volley; nothing if there is content.
    span: Span,
}

#[derive(Debug, Default)]
struct Content {
    front: Vec<u8>,
    /// Bytes of `front` that are written.
    written: usize,
    queue: Queue,
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
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Some(content) => content.len(),
            None => self.span.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // A lent buffer may be there without a byte in it.
        self.len() == 0
    }

    /// What waits, in bytes of memory: many small segments are more than their content.
    pub(crate) fn cost(&self) -> usize {
        let segments = self
            .content
            .as_ref()
            .map_or(0, |content| content.queue.segments.len());
        self.len() + segments * SEGMENT_COST
    }

    /// Whether all that waits lies in one buffer.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        let content = self.content.as_ref();
        content.is_none_or(|content| content.queue.is_empty())
    }

    /// Where the next bytes are appended.
    #[inline]
    pub(crate) fn tail(&mut self, pool: &mut Pool) -> &mut Vec<u8> {
        let span = &mut self.span;
        self.content
            .get_or_insert_with(|| pool.copy(span).unwrap_or_else(|| pool.take()))
            .tail()
    }

    /// As [`tail`](Self::tail), when it is known how many bytes will be appended.
    #[inline]
    pub(crate) fn tail_for(&mut self, len: usize, pool: &mut Pool) -> &mut Vec<u8> {
        let span = &mut self.span;
        self.content
            .get_or_insert_with(|| pool.copy(span).unwrap_or_else(|| pool.take_for(len)))
            .tail()
    }

    /// Queues a short frame that others are sent too, without copying it for each; to be
    /// [flushed](Self::flush) in this turn. Returns whether that can be, which it can while
    /// nothing but such frames waits.
    #[inline]
    pub(crate) fn join(&mut self, frame: &Arc<[u8]>, pool: &mut Pool) -> bool {
        self.content.is_none()
            && pool
                .volley
                .place(frame)
                .is_some_and(|span| self.span.extend(span))
    }

    /// Takes what waits in the volley into a buffer of its own.
    #[cold]
    fn part(&mut self, pool: &mut Pool) {
        if self.content.is_none() {
            self.content = pool.copy(&mut self.span);
        }
    }

    /// Queues bytes that others hold too, without copying them.
    pub(crate) fn push_shared(&mut self, bytes: &Arc<[u8]>, droppable: bool, pool: &mut Pool) {
        let payload = Payload::Shared(Arc::clone(bytes));
        self.push(Segment { payload, droppable }, pool);
    }

    /// Queues bytes that came with a buffer of their own.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>, droppable: bool, pool: &mut Pool) {
        let payload = Payload::Owned(bytes);
        self.push(Segment { payload, droppable }, pool);
    }

    fn push(&mut self, segment: Segment, pool: &mut Pool) {
        self.part(pool);
        self.content.get_or_insert_default().queue.push(segment);
    }

    /// Removes the oldest whole messages no byte of which is written, until `len` less is the
    /// [`cost`](Self::cost) or none is left. Returns how many messages went.
    pub(crate) fn drop_oldest(&mut self, len: usize) -> usize {
        self.content
            .as_mut()
            .map_or(0, |content| content.drop_oldest(len))
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
            let (offered, outcome) = self.write(link, pool);
            match outcome {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.advance(written);
                    if written < offered {
                        self.part(pool);
                        return Ok(Flushed::Blocked);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.part(pool);
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Forgets everything and gives the buffer back.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.span = Span::default();
        if let Some(content) = self.content.take() {
            pool.give(content);
        }
    }

    /// Offers as much as one call takes: how much that was, and what came of it.
    fn write(&self, link: &mut Link, pool: &Pool) -> (usize, io::Result<usize>) {
        let Some(content) = &self.content else {
            let bytes = pool.volley.bytes(self.span);
            return (bytes.len(), link.write_vectored(&[IoSlice::new(bytes)]));
        };
        if content.queue.is_empty() {
            let front = &content.front[content.written..];
            return (front.len(), link.write_vectored(&[IoSlice::new(front)]));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (count, offered) = content.fill(&mut slices);
        (offered, link.write_vectored(&slices[..count]))
    }

    fn advance(&mut self, written: usize) {
        match &mut self.content {
            Some(content) => content.advance(written),
            None => self.span.skip(written),
        }
    }
}

impl Content {
    fn new(capacity: usize) -> Self {
        Self {
            front: Vec::with_capacity(capacity),
            ..Self::default()
        }
    }

    #[inline]
    fn len(&self) -> usize {
        let front = self.front.len() - self.written;
        match self.queue.is_empty() {
            true => front,
            false => front + self.queue.len(),
        }
    }

    fn clear(&mut self) {
        self.front.clear();
        self.written = 0;
        self.queue.clear();
    }

    #[inline]
    fn tail(&mut self) -> &mut Vec<u8> {
        match self.queue.is_empty() {
            true => &mut self.front,
            false => self.queue.tail(),
        }
    }

    fn drop_oldest(&mut self, len: usize) -> usize {
        let (mut freed, mut dropped, mut index) = (0, 0, 0);
        let front_is_written = self.front.len() == self.written;
        let queue = &mut self.queue;
        while freed < len && index < queue.segments.len() {
            let begun = index == 0 && front_is_written && queue.written > 0;
            if queue.segments[index].droppable && !begun {
                freed += queue.remove(index) + SEGMENT_COST;
                dropped += 1;
            } else {
                index += 1;
            }
        }
        dropped
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
        let mut skip = self.queue.written;
        for segment in self.queue.segments.iter().take(SLICES) {
            offer(&segment.payload.bytes()[skip..]);
            skip = 0;
        }
        (count, offered)
    }

    fn advance(&mut self, written: usize) {
        let front = written.min(self.front.len() - self.written);
        self.written += front;
        if self.written == self.front.len() {
            self.front.clear();
            self.written = 0;
        }
        self.queue.advance(written - front);
    }
}

impl Queue {
    #[inline]
    fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn len(&self) -> usize {
        self.settled + self.segments.back().map_or(0, Segment::len) - self.written
    }

    fn clear(&mut self) {
        // One that was long is not worth keeping, and most own no memory.
        *self = Self::default();
    }

    fn push(&mut self, segment: Segment) {
        self.settled += self.segments.back().map_or(0, Segment::len);
        self.segments.push_back(segment);
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while let Some(segment) = self.segments.front() {
            let len = segment.len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.segments.pop_front();
            self.settled = self.settled.saturating_sub(len);
        }
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

    fn tail(&mut self) -> &mut Vec<u8> {
        let appendable = matches!(
            self.segments.back(),
            Some(Segment {
                payload: Payload::Owned(_),
                droppable: false
            })
        );
        if !appendable {
            self.push(Segment {
                payload: Payload::Owned(Vec::with_capacity(SEGMENT_LEN)),
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
